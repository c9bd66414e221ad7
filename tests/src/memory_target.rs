//! A restored database in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use walkeep::core::Result;
use walkeep::restore::{DatabaseShape, PageSink, RestoreTarget};

/// Takes a restored database, of which only what was written takes memory.
#[derive(Debug, Default)]
pub struct MemoryTarget {
    shape: Option<DatabaseShape>,
    finished: bool,
    sink: Arc<MemorySink>,
}

#[derive(Debug, Default)]
struct MemorySink(Mutex<BTreeMap<u64, Vec<u8>>>);

impl MemoryTarget {
    /// What the database was said to be.
    ///
    /// # Panics
    ///
    /// When the restore was not begun.
    #[must_use]
    pub const fn shape(&self) -> DatabaseShape {
        self.shape.unwrap()
    }

    /// The restored file.
    ///
    /// # Panics
    ///
    /// When the restore was not finished, wrote behind the end, wrote a byte twice, or wrote another number of
    /// pages than it had said.
    #[must_use]
    pub fn file(&self) -> Vec<u8> {
        assert!(self.finished, "a restore that succeeded finishes its target");
        let shape = self.shape();
        let mut file = vec![0; usize::try_from(shape.file_bytes()).unwrap()];
        let (mut written, mut end) = (0, 0);
        for (offset, pages) in self.sink.0.lock().unwrap().iter() {
            let start = usize::try_from(*offset).unwrap();
            assert!(start >= end, "bytes from {start} on were written twice");
            end = start + pages.len();
            file[start..end].copy_from_slice(pages);
            written += pages.len() as u64;
        }
        assert_eq!(written, shape.pages_written * shape.page_size.bytes_u64());
        file
    }

    /// The offsets of what was written, with its bytes.
    ///
    /// # Panics
    ///
    /// Never, unless a writing thread did.
    #[must_use]
    pub fn written(&self) -> BTreeMap<u64, Vec<u8>> {
        self.sink.0.lock().unwrap().clone()
    }
}

impl PageSink for MemorySink {
    fn write(&self, offset: u64, pages: &[u8]) -> Result<()> {
        let before = self.0.lock().unwrap().insert(offset, pages.to_vec());
        assert!(before.is_none(), "pages at {offset} were written twice");
        Ok(())
    }
}

impl RestoreTarget for MemoryTarget {
    fn begin(&mut self, shape: DatabaseShape) -> Result<Arc<dyn PageSink>> {
        self.shape = Some(shape);
        Ok(Arc::clone(&self.sink) as Arc<dyn PageSink>)
    }

    fn finish(&mut self) -> Result<()> {
        self.finished = true;
        Ok(())
    }
}
