//! Reading images of committed frames, wherever in the log they are. Each is checked against the hash that it was
//! committed with.

use std::collections::BTreeMap;

use bytes::Bytes;
use walkeep_core::segment::BlockDecoder;
use walkeep_core::{Error, FrameNo, PageNo, Result};

use super::Log;
use super::sealed_file::Block;

/// Reads images of committed frames, keeping one block of each sealed segment.
#[derive(Debug)]
pub(super) struct ImageReader<'a> {
    log: &'a Log,
    /// Made when the first sealed image is read.
    decoder: Option<BlockDecoder>,
    blocks: BTreeMap<usize, Block>,
}

impl<'a> ImageReader<'a> {
    pub(super) const fn new(log: &'a Log) -> Self {
        Self { log, decoder: None, blocks: BTreeMap::new() }
    }

    pub(super) fn image(&mut self, page: PageNo, frame: FrameNo) -> Result<Bytes> {
        let current = self.log.current();
        if let Some(row) = current.row(frame) {
            let mut image = vec![0; self.log.page_size().bytes()];
            current.read_image(frame, &mut image)?;
            if self.log.table().seed().page(page, &image) != row.hash || row.page != page {
                return Err(damaged(current.name(), current.image_offset(frame), page, frame));
            }
            return Ok(image.into());
        }
        let sealed = self.log.sealed_files();
        let place = sealed.partition_point(|file| file.end() < frame);
        let file = sealed.get(place).filter(|file| file.start() <= frame);
        let position = file.and_then(|file| file.index().newest_until(page, frame));
        let (Some(file), Some(position)) = (file, position) else {
            let what = format!("the image of page {page} of frame {frame} in the log");
            return Err(Error::not_found(what));
        };
        let decoder = match &mut self.decoder {
            Some(decoder) => decoder,
            none => none.insert(BlockDecoder::new()?),
        };
        let block = file.block(position, self.blocks.remove(&place), decoder)?;
        let image = file.image(position, &block);
        self.blocks.insert(place, block);
        let hash = file.index().hashes().get(position as usize);
        if Some(&self.log.table().seed().page(page, &image)) != hash {
            return Err(damaged(file.name(), 0, page, frame));
        }
        Ok(image)
    }
}

fn damaged(object: impl std::fmt::Display, offset: u64, page: PageNo, frame: FrameNo) -> Error {
    let expected = format!("the image that frame {frame} of page {page} was committed with");
    Error::corrupt(object, offset, expected, "another one")
}
