//! The bytes of an object, checked before they are written anywhere else.
//!
//! A segment has a checksum over itself in its footer. Of everything else two readings must agree: it is small. What a
//! reading in parts gave the first time is what is sent, or nothing.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use tokio::runtime::Handle;
use walkeep_core::segment::{FOOTER_LEN, Footer, ObjectChecksum};
use walkeep_core::{Backend, Body, BodySource, ByteRange, Error, ObjectPath, Result};

use super::object::PART;
use super::side::Side;

/// Objects up to this size are copied through memory; larger ones are read a second time.
const MEMORY_MAX: u64 = 4 * PART;

/// An object whose bytes are known to be what they should be, part by part.
#[derive(Debug)]
pub(super) struct CheckedBody<B: Backend> {
    side: Side<B>,
    path: ObjectPath,
    size: u64,
    /// Of each part.
    checksums: Vec<u64>,
    /// The part that was read last.
    last: Mutex<Option<(usize, Bytes)>>,
    runtime: Handle,
}

impl<B: Backend> CheckedBody<B> {
    /// Reads and checks an object of `size` bytes.
    ///
    /// # Errors
    ///
    /// `Corrupt` when it is damaged; `NotFound`, `Unavailable`.
    pub(super) async fn read(side: &Side<B>, path: &ObjectPath, size: u64) -> Result<Body> {
        let first = Reading::of(side, path, size).await?;
        match first.footer(path, size) {
            Some(footer) if footer.object_checksum == first.before_footer => {}
            // Damaged on the way, or where it is: a second reading tells.
            footer => {
                let second = Reading::of(side, path, size).await?;
                if second.parts != first.parts {
                    let what = format!("{path} in the {} store: two readings of it differ", side.name);
                    return Err(Error::Unavailable { what, source: None });
                }
                if let Some(footer) = footer {
                    let object = format!("{path} in the {} store", side.name);
                    let expected = format!("an object with checksum {:016x}", footer.object_checksum);
                    let found = format!("checksum {:016x}", second.before_footer);
                    return Err(Error::corrupt(object, 0, expected, found));
                }
            }
        }
        if let Some(bytes) = first.bytes {
            return Ok(Body::Bytes(bytes.freeze()));
        }
        let body = Self {
            side: side.clone(),
            path: path.clone(),
            size,
            checksums: first.parts,
            last: Mutex::default(),
            runtime: Handle::current(),
        };
        Ok(Body::Source(Arc::new(body)))
    }

    fn part(&self, number: usize) -> io::Result<Bytes> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, bytes)) = last.as_ref().filter(|(held, _)| *held == number) {
            return Ok(bytes.clone());
        }
        let offset = number as u64 * PART;
        let len = PART.min(self.size.saturating_sub(offset));
        let read = self.runtime.block_on(self.side.part(&self.path, offset, len));
        let bytes = read.map_err(io::Error::other)?;
        if self.checksums.get(number) != Some(&checksum(&bytes)) {
            return Err(io::Error::other(format!("{}: a second reading of it differs", self.path)));
        }
        *last = Some((number, bytes.clone()));
        Ok(bytes)
    }
}

impl<B: Backend> BodySource for CheckedBody<B> {
    fn len(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let mut at = offset;
        let mut rest = bytes;
        while !rest.is_empty() {
            let number = usize::try_from(at / PART).map_err(io::Error::other)?;
            let part = self.part(number)?;
            let from = usize::try_from(at % PART).map_err(io::Error::other)?;
            let found = part.get(from..).filter(|found| !found.is_empty());
            let found = found.ok_or(io::ErrorKind::UnexpectedEof)?;
            let len = found.len().min(rest.len());
            let (now, later) = rest.split_at_mut(len);
            now.copy_from_slice(found.get(..len).unwrap_or_default());
            rest = later;
            at += len as u64;
        }
        Ok(())
    }
}

fn checksum(bytes: &[u8]) -> u64 {
    let mut checksum = ObjectChecksum::new();
    checksum.update(bytes);
    checksum.value()
}

/// One reading of an object.
struct Reading {
    /// The checksums of its parts.
    parts: Vec<u64>,
    /// That of everything before a segment's footer, if it is one.
    before_footer: u64,
    /// Where a segment has its footer: of the same reading, since it is sent as well.
    tail: BytesMut,
    /// The object, if it is small.
    bytes: Option<BytesMut>,
}

impl Reading {
    async fn of<B: Backend>(side: &Side<B>, path: &ObjectPath, size: u64) -> Result<Self> {
        let mut reading = Self {
            parts: Vec::new(),
            before_footer: 0,
            tail: BytesMut::new(),
            bytes: (size <= MEMORY_MAX).then(BytesMut::new),
        };
        let body_len = size.saturating_sub(FOOTER_LEN as u64);
        let mut before = ObjectChecksum::new();
        let mut offset = 0;
        while offset < size {
            let len = PART.min(size - offset);
            let bytes = side.part(path, offset, len).await?;
            reading.parts.push(checksum(&bytes));
            let counted = usize::try_from(body_len.saturating_sub(offset)).unwrap_or(usize::MAX);
            let (counted, tail) = bytes.split_at(counted.min(bytes.len()));
            before.update(counted);
            reading.tail.extend_from_slice(tail);
            if let Some(all) = &mut reading.bytes {
                all.extend_from_slice(&bytes);
            }
            offset += len;
        }
        // A longer one than was said is another one. This also tells an empty object from one that is gone.
        let beyond = ByteRange::Bounded(size..size.saturating_add(1));
        if !side.backend.get(side.config.as_ref(), path, beyond).await?.is_empty() {
            let what = format!("{path} in the {} store is longer than {size} bytes", side.name);
            return Err(Error::Unavailable { what, source: None });
        }
        reading.before_footer = before.value();
        Ok(reading)
    }

    /// The footer, of a segment.
    fn footer(&self, path: &ObjectPath, size: u64) -> Option<Footer> {
        Footer::parse(path.as_str(), &self.tail, size).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faulty::Faults;
    use crate::{Faulty, Memory};

    /// What is too large for memory is read once more while it is sent: it must be what was checked.
    #[tokio::test]
    async fn a_large_object_that_is_read_differently_later_is_not_sent() {
        let store = Arc::new(Faulty::new(Memory::new(), Faults::default(), 1).unwrap());
        let path = ObjectPath::new("namespaces/a/segments/1").unwrap();
        let size = MEMORY_MAX + 1000;
        let content = vec![7; usize::try_from(size).unwrap()];
        store.put_new(None, &path, content.into()).await.unwrap();
        let side = Side { backend: Arc::clone(&store), config: None, name: "first" };
        let Body::Source(source) = CheckedBody::read(&side, &path, size).await.unwrap() else { panic!() };
        let read = async |offset: u64| {
            let source = Arc::clone(&source);
            let read = move || {
                let mut bytes = vec![0; 2000];
                source.read_exact_at(offset, &mut bytes).map(|()| bytes)
            };
            tokio::task::spawn_blocking(read).await.unwrap()
        };
        assert_eq!(read(PART - 1000).await.unwrap(), vec![7; 2000]);
        assert_eq!(read(size - 2000).await.unwrap(), vec![7; 2000]);
        store.set_faults(Faults { flipped_body: 1.0, ..Faults::default() }).unwrap();
        let read = read(PART).await;
        assert!(read.as_ref().is_err_and(|error| error.to_string().contains("differs")), "{read:?}");
    }
}
