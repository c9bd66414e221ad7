//! Hearing of changes to files without looking at them.
//!
//! A watch tells once: whoever was woken looks, and watches again when nothing more comes. So a database that is
//! written at full speed costs no events, and one that rests costs nothing at all.
//!
//! On Linux this is inotify; where it cannot be had, [`Watcher::arm`] says so and the caller polls.

use std::sync::Arc;

use tokio::sync::Notify;

/// One watcher for any number of files.
#[derive(Clone, Debug)]
pub(super) struct Watcher {
    inner: Option<Arc<platform::Inner>>,
}

impl Watcher {
    /// A watcher, which works on the tokio runtime in which this is called.
    pub(super) fn new() -> Self {
        let inner = platform::Inner::new();
        if let Err(error) = &inner {
            tracing::warn!(%error, "changes of files cannot be watched; databases are polled");
        }
        Self { inner: inner.ok() }
    }

    /// Wakes `wake` once when the file is written to; `false` when it cannot be watched.
    pub(super) fn arm(&self, path: &std::path::Path, wake: &Arc<Notify>) -> bool {
        match self.inner.as_ref().map(|inner| inner.arm(path, wake)) {
            Some(Ok(())) => true,
            Some(Err(error)) => {
                tracing::debug!(%error, path = %path.display(), "the file cannot be watched; it is polled");
                false
            }
            None => false,
        }
    }
}

#[cfg(target_os = "linux")]
mod platform {
    use std::collections::BTreeMap;
    use std::io;
    use std::path::Path;
    use std::sync::{Arc, Mutex, PoisonError, Weak};

    use futures::StreamExt;
    use inotify::{EventMask, EventStream, Inotify, WatchDescriptor, WatchMask, Watches};
    use tokio::sync::Notify;

    /// Room for some events at once.
    const BUFFER: usize = 4096;

    #[derive(Debug)]
    pub(super) struct Inner {
        waiting: Mutex<Waiting>,
    }

    #[derive(Debug)]
    struct Waiting {
        watches: Watches,
        wakes: BTreeMap<i32, Arc<Notify>>,
    }

    impl Inner {
        pub(super) fn new() -> io::Result<Arc<Self>> {
            let inotify = Inotify::init()?;
            let watches = inotify.watches();
            let events = inotify.into_event_stream(vec![0; BUFFER])?;
            let inner = Arc::new(Self { waiting: Mutex::new(Waiting { watches, wakes: BTreeMap::new() }) });
            tokio::spawn(listen(events, Arc::downgrade(&inner)));
            Ok(inner)
        }

        pub(super) fn arm(&self, path: &Path, wake: &Arc<Notify>) -> io::Result<()> {
            // Held over the call, so that an event finds whom to wake.
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let mask = WatchMask::MODIFY | WatchMask::DELETE_SELF | WatchMask::ONESHOT;
            let watch = waiting.watches.add(path, mask)?;
            waiting.wakes.insert(number(&watch), Arc::clone(wake));
            Ok(())
        }

        fn wake(&self, watch: &WatchDescriptor, mask: EventMask) {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if mask.contains(EventMask::Q_OVERFLOW) {
                // Anybody may have been meant.
                waiting.wakes.values().for_each(|wake| wake.notify_one());
            } else if let Some(wake) = waiting.wakes.get(&number(watch)) {
                wake.notify_one();
            }
            if mask.contains(EventMask::IGNORED) {
                waiting.wakes.remove(&number(watch));
            }
        }
    }

    fn number(watch: &WatchDescriptor) -> i32 {
        watch.get_watch_descriptor_id()
    }

    async fn listen(mut events: EventStream<Vec<u8>>, inner: Weak<Inner>) {
        while let Some(event) = events.next().await {
            let Some(inner) = inner.upgrade() else { return };
            match event {
                Ok(event) => inner.wake(&event.wd, event.mask),
                Err(error) => {
                    tracing::warn!(%error, "changes of files are no longer heard of; databases are looked at by time");
                    return;
                }
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod platform {
    use std::io;
    use std::path::Path;
    use std::sync::Arc;

    use tokio::sync::Notify;

    #[derive(Debug)]
    pub(super) struct Inner;

    impl Inner {
        pub(super) fn new() -> io::Result<Arc<Self>> {
            Err(io::ErrorKind::Unsupported.into())
        }

        pub(super) fn arm(&self, _path: &Path, _wake: &Arc<Notify>) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }
    }
}
