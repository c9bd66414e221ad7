//! A backend that is cut off at one of its calls, as a process that is killed there sees it: that call is carried out or
//! not, and none after it.

use std::sync::Mutex;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use walkeep::core::{Backend, Body, ByteRange, Error, ObjectMeta, ObjectPath, Result};

/// Where to cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Before which call, counted from 0.
    pub at: u64,
    /// Whether that call is carried out.
    pub applied: bool,
}

#[derive(Debug, Default)]
struct State {
    calls: u64,
    cut: Option<Cut>,
    locked: Option<ObjectPath>,
}

/// What is to become of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Done,
    DoneUnheard,
    NotDone,
}

/// A backend that can be cut off.
#[derive(Debug)]
pub struct CutOff<B> {
    inner: B,
    state: Mutex<State>,
}

impl<B> CutOff<B> {
    /// Passes everything on to `inner`, until told otherwise.
    pub fn new(inner: B) -> Self {
        Self { inner, state: Mutex::default() }
    }

    /// The backend behind.
    pub const fn inner(&self) -> &B {
        &self.inner
    }

    /// Counts calls from 0 again, and cuts at one of them, or no longer. Returns how many there were.
    pub fn cut(&self, cut: Option<Cut>) -> u64 {
        let mut state = self.state.lock().unwrap();
        let calls = state.calls;
        (state.calls, state.cut) = (0, cut);
        calls
    }

    /// Keeps an object from being deleted, as a store that holds it for some time; or none.
    pub fn lock(&self, locked: Option<ObjectPath>) {
        self.state.lock().unwrap().locked = locked;
    }

    fn next(&self) -> Fate {
        let mut state = self.state.lock().unwrap();
        let call = state.calls;
        state.calls += 1;
        match state.cut {
            Some(cut) if call == cut.at && cut.applied => Fate::DoneUnheard,
            Some(cut) if call >= cut.at => Fate::NotDone,
            _ => Fate::Done,
        }
    }
}

fn cut_off() -> Error {
    Error::Unavailable { what: "cut off".into(), source: None }
}

#[async_trait]
impl<B: Backend> Backend for CutOff<B> {
    type Config = B::Config;

    fn default_config(&self) -> B::Config {
        self.inner.default_config()
    }

    async fn put_new(&self, config: Option<&B::Config>, path: &ObjectPath, body: Body) -> Result<()> {
        match self.next() {
            Fate::Done => self.inner.put_new(config, path, body).await,
            Fate::DoneUnheard => self.inner.put_new(config, path, body).await.and(Err(cut_off())),
            Fate::NotDone => Err(cut_off()),
        }
    }

    async fn get(&self, config: Option<&B::Config>, path: &ObjectPath, range: ByteRange) -> Result<Bytes> {
        if self.next() == Fate::Done { self.inner.get(config, path, range).await } else { Err(cut_off()) }
    }

    fn list<'a>(
        &'a self,
        config: Option<&'a B::Config>,
        prefix: &'a ObjectPath,
        after: Option<&'a ObjectPath>,
        limit: usize,
    ) -> BoxStream<'a, Result<ObjectMeta>> {
        if self.next() == Fate::Done {
            self.inner.list(config, prefix, after, limit)
        } else {
            stream::iter([Err(cut_off())]).boxed()
        }
    }

    fn list_directories<'a>(
        &'a self,
        config: Option<&'a B::Config>,
        prefix: &'a ObjectPath,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxStream<'a, Result<String>> {
        if self.next() == Fate::Done {
            self.inner.list_directories(config, prefix, after, limit)
        } else {
            stream::iter([Err(cut_off())]).boxed()
        }
    }

    /// Of several objects, the first half is deleted in a call that is cut off in the middle.
    async fn delete(&self, config: Option<&B::Config>, paths: &[ObjectPath]) -> Result<()> {
        let locked = self.state.lock().unwrap().locked.clone();
        if let Some(locked) = locked.filter(|locked| paths.contains(locked)) {
            return Err(Error::Unavailable { what: format!("{locked} is locked"), source: None });
        }
        match self.next() {
            Fate::Done => self.inner.delete(config, paths).await,
            Fate::DoneUnheard => {
                let half = paths.get(..paths.len().div_ceil(2)).unwrap_or_default();
                self.inner.delete(config, half).await.and(Err(cut_off()))
            }
            Fate::NotDone => Err(cut_off()),
        }
    }
}
