//! Counts the requests and bytes that go to another backend.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt};
use walkeep_core::{Backend, Body, ByteRange, Leftovers, ObjectMeta, ObjectPath, Result, UnixMillis};

/// What has gone to a backend so far: requests by kind, and bytes of contents. Failed requests count.
///
/// A listing counts as one request for each 1,000 objects it returned, and as one if it returned none: what object
/// stores charge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// Objects created, or tried to.
    pub puts: u64,
    /// Reads of an object or a range.
    pub gets: u64,
    /// Pages of listings.
    pub lists: u64,
    /// Objects deleted.
    pub deletes: u64,
    /// Bytes sent.
    pub bytes_written: u64,
    /// Bytes received.
    pub bytes_read: u64,
}

impl Requests {
    /// All requests of any kind.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.puts + self.gets + self.lists + self.deletes
    }

    /// Both together.
    #[must_use]
    pub const fn plus(&self, other: &Self) -> Self {
        Self {
            puts: self.puts + other.puts,
            gets: self.gets + other.gets,
            lists: self.lists + other.lists,
            deletes: self.deletes + other.deletes,
            bytes_written: self.bytes_written + other.bytes_written,
            bytes_read: self.bytes_read + other.bytes_read,
        }
    }

    /// What came since an earlier reading.
    #[must_use]
    pub const fn since(&self, earlier: &Self) -> Self {
        Self {
            puts: self.puts - earlier.puts,
            gets: self.gets - earlier.gets,
            lists: self.lists - earlier.lists,
            deletes: self.deletes - earlier.deletes,
            bytes_written: self.bytes_written - earlier.bytes_written,
            bytes_read: self.bytes_read - earlier.bytes_read,
        }
    }
}

#[derive(Debug, Default)]
struct Counters {
    puts: AtomicU64,
    gets: AtomicU64,
    lists: AtomicU64,
    deletes: AtomicU64,
    bytes_written: AtomicU64,
    bytes_read: AtomicU64,
}

fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

/// A backend that counts what goes to another.
#[derive(Debug)]
pub struct Metered<B> {
    inner: B,
    counters: Counters,
}

/// Objects in one page of a listing, as object stores return them.
const LIST_PAGE: u64 = 1000;

impl<B> Metered<B> {
    /// Counts what goes to `inner` from now on.
    pub fn new(inner: B) -> Self {
        Self { inner, counters: Counters::default() }
    }

    /// The backend behind.
    pub const fn inner(&self) -> &B {
        &self.inner
    }

    /// What has gone through so far.
    pub fn requests(&self) -> Requests {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Requests {
            puts: load(&self.counters.puts),
            gets: load(&self.counters.gets),
            lists: load(&self.counters.lists),
            deletes: load(&self.counters.deletes),
            bytes_written: load(&self.counters.bytes_written),
            bytes_read: load(&self.counters.bytes_read),
        }
    }
}

/// Counts a page with the first item of each thousand, the first one at once.
fn counted<'a, T: 'a>(lists: &'a AtomicU64, listing: BoxStream<'a, Result<T>>) -> BoxStream<'a, Result<T>> {
    add(lists, 1);
    let mut items = 0;
    let counted = listing.inspect(move |_| {
        if items > 0 && items % LIST_PAGE == 0 {
            add(lists, 1);
        }
        items += 1;
    });
    counted.boxed()
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<B: Backend> Backend for Metered<B> {
    type Config = B::Config;

    fn default_config(&self) -> B::Config {
        self.inner.default_config()
    }

    async fn put_new(&self, config: Option<&B::Config>, path: &ObjectPath, body: Body) -> Result<()> {
        add(&self.counters.puts, 1);
        add(&self.counters.bytes_written, body.len());
        self.inner.put_new(config, path, body).await
    }

    async fn get(&self, config: Option<&B::Config>, path: &ObjectPath, range: ByteRange) -> Result<Bytes> {
        add(&self.counters.gets, 1);
        let bytes = self.inner.get(config, path, range).await?;
        add(&self.counters.bytes_read, bytes.len() as u64);
        Ok(bytes)
    }

    fn list<'a>(
        &'a self,
        config: Option<&'a B::Config>,
        prefix: &'a ObjectPath,
        after: Option<&'a ObjectPath>,
        limit: usize,
    ) -> BoxStream<'a, Result<ObjectMeta>> {
        counted(&self.counters.lists, self.inner.list(config, prefix, after, limit))
    }

    fn list_directories<'a>(
        &'a self,
        config: Option<&'a B::Config>,
        prefix: &'a ObjectPath,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxStream<'a, Result<String>> {
        counted(&self.counters.lists, self.inner.list_directories(config, prefix, after, limit))
    }

    async fn delete(&self, config: Option<&B::Config>, paths: &[ObjectPath]) -> Result<()> {
        add(&self.counters.deletes, paths.len() as u64);
        self.inner.delete(config, paths).await
    }

    async fn leftovers(
        &self,
        config: Option<&B::Config>,
        prefix: &ObjectPath,
        before: UnixMillis,
        delete: bool,
    ) -> Result<Leftovers> {
        add(&self.counters.lists, 1);
        self.inner.leftovers(config, prefix, before, delete).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Memory;

    #[tokio::test]
    async fn it_conforms() {
        walkeep_core::conformance::everything(&Metered::new(Memory::new()), None).await;
    }

    #[tokio::test]
    async fn requests_and_bytes_are_counted_by_kind() {
        let metered = Metered::new(Memory::new());
        let path = |n: u32| ObjectPath::new(format!("a/{n:05}")).unwrap();
        for n in 0..1001 {
            metered.put_new(None, &path(n), Body::from(vec![0; 3])).await.unwrap();
        }
        metered.get(None, &path(0), ByteRange::Suffix(2)).await.unwrap();
        let before = metered.requests();
        let prefix = ObjectPath::new("a").unwrap();
        assert_eq!(metered.list(None, &prefix, None, usize::MAX).count().await, 1001);
        assert_eq!(metered.list(None, &prefix, Some(&path(1001)), 5).count().await, 0);
        metered.delete(None, &[path(0), path(1)]).await.unwrap();
        assert_eq!(
            metered.requests().since(&before),
            Requests { lists: 3, deletes: 2, ..Requests::default() }
        );
        let expected =
            Requests { puts: 1001, gets: 1, bytes_written: 3003, bytes_read: 2, ..Requests::default() };
        assert_eq!(before, expected);
        assert_eq!(metered.requests().total(), 1001 + 1 + 3 + 2);
    }
}
