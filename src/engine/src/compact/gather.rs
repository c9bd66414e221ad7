//! From fetched bytes to output blocks: on a thread of its own, since it decompresses and checks everything.
//!
//! Every image that goes into the output was compared with the hash that its input has for it, those of blocks that are
//! copied as they are stored included: a checksum of 32 bits is too little for what may soon be the only copy.
//!
//! Invariants: of each input at most one fetched run and one decoded block are held; blocks are decoded once.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc::{Receiver, Sender};
use walkeep_core::segment::{BlockDecoder, BlockEntry, EncodedBlock, FrameRow};
use walkeep_core::{Error, Result};

use super::inputs::Inputs;
use super::layout::Piece;
use super::throttle::Throttle;
use crate::merge::Layer;

/// Bytes that were fetched.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) layer: usize,
    pub(super) start: u64,
    pub(super) bytes: Bytes,
}

/// A block of the output.
#[derive(Debug)]
pub(super) struct OutputBlock {
    pub(super) rows: Vec<FrameRow>,
    pub(super) body: BlockBody,
}

/// Its images, encoded or not.
#[derive(Debug)]
pub(super) enum BlockBody {
    Copied(EncodedBlock),
    Raw(Vec<u8>),
}

/// One input on its way.
#[derive(Debug, Default)]
struct Source {
    run: Range<u64>,
    bytes: Bytes,
    decoded: Option<usize>,
    raw: Vec<u8>,
}

/// Puts the output's blocks together.
#[derive(Debug)]
pub(super) struct Gatherer {
    inputs: Arc<Inputs>,
    sources: Vec<Source>,
    decoder: BlockDecoder,
    block_raw_target: usize,
    rows: Vec<FrameRow>,
    raw: Vec<u8>,
    throttle: Arc<Throttle>,
}

impl Gatherer {
    pub(super) fn new(inputs: Arc<Inputs>, block_raw_target: usize, throttle: Arc<Throttle>) -> Result<Self> {
        let sources = inputs.layers.iter().map(|_| Source::default()).collect();
        let decoder = BlockDecoder::new()?;
        Ok(Self { inputs, sources, decoder, block_raw_target, rows: Vec::new(), raw: Vec::new(), throttle })
    }

    /// Turns what arrives into blocks, until all pieces are done. Ends early, without an error of its own, when the
    /// stage before or behind it has ended.
    ///
    /// # Errors
    ///
    /// `Corrupt` naming the input and the offset.
    pub(super) fn run(
        mut self,
        pieces: Vec<Piece>,
        mut fetched: Receiver<Fetched>,
        out: &Sender<OutputBlock>,
    ) -> Result<()> {
        let inputs = Arc::clone(&self.inputs);
        for piece in pieces {
            let (Some(layer), Some(winners)) =
                (inputs.layers.get(piece.layer), inputs.winners.get(piece.layer))
            else {
                return Err(Error::invalid("a compaction", "its pieces were laid out for other inputs"));
            };
            let winners = winners.get(piece.winners.clone()).unwrap_or_default();
            let Some(entry) = layer.segment.index().blocks().get(piece.block).copied() else { continue };
            while !self.has(piece.layer, &entry) {
                match fetched.blocking_recv() {
                    Some(run) => self.arrive(run),
                    None => return Ok(()),
                }
            }
            let began = tokio::time::Instant::now();
            let sent = self.add(&piece, layer, &entry, winners, out)?;
            self.throttle.after_work(began.elapsed());
            if !sent {
                return Ok(());
            }
        }
        self.flush(out);
        Ok(())
    }

    fn has(&self, layer: usize, entry: &BlockEntry) -> bool {
        self.sources.get(layer).is_some_and(|source| source.run.contains(&entry.offset))
    }

    fn arrive(&mut self, fetched: Fetched) {
        if let Some(source) = self.sources.get_mut(fetched.layer) {
            source.run = fetched.start..fetched.start + fetched.bytes.len() as u64;
            source.bytes = fetched.bytes;
        }
    }

    /// Adds one piece. Whether the stage behind still listens.
    fn add(
        &mut self,
        piece: &Piece,
        layer: &Layer,
        entry: &BlockEntry,
        winners: &[u32],
        out: &Sender<OutputBlock>,
    ) -> Result<bool> {
        let page_size = self.inputs.page_size;
        let Some(source) = self.sources.get_mut(piece.layer) else { return Ok(false) };
        let at = usize::try_from(entry.offset - source.run.start).unwrap_or(usize::MAX);
        let stored = source.bytes.get(at..).and_then(|rest| rest.get(..entry.stored_len as usize));
        let stored = stored.unwrap_or_default();
        if source.decoded != Some(piece.block) {
            let object = layer.segment.path().as_str();
            self.decoder.decode_into(object, entry, page_size, stored, &mut source.raw)?;
            source.decoded = Some(piece.block);
        }
        // Not a part of the fetched run, which would be kept with it.
        let copy = piece.copied.then(|| EncodedBlock::of(entry, Bytes::copy_from_slice(stored)));
        if copy.is_some() && !self.flush(out) {
            return Ok(false);
        }
        for position in winners {
            let start = (position - entry.first) as usize * page_size.bytes();
            let Some(source) = self.sources.get(piece.layer) else { return Ok(false) };
            let image = source.raw.get(start..start + page_size.bytes()).unwrap_or_default();
            let row = row(layer, self.inputs.seed, *position, entry, image)?;
            if copy.is_none() {
                if !self.raw.is_empty() && self.raw.len() + image.len() > self.block_raw_target {
                    let (rows, raw) = (std::mem::take(&mut self.rows), std::mem::take(&mut self.raw));
                    if out.blocking_send(OutputBlock { rows, body: BlockBody::Raw(raw) }).is_err() {
                        return Ok(false);
                    }
                }
                self.raw.extend_from_slice(image);
            }
            self.rows.push(row);
        }
        match copy {
            Some(block) => {
                let rows = std::mem::take(&mut self.rows);
                Ok(out.blocking_send(OutputBlock { rows, body: BlockBody::Copied(block) }).is_ok())
            }
            None => Ok(true),
        }
    }

    /// Sends what was gathered. Whether the stage behind still listens.
    fn flush(&mut self, out: &Sender<OutputBlock>) -> bool {
        let (rows, raw) = (std::mem::take(&mut self.rows), std::mem::take(&mut self.raw));
        rows.is_empty() || out.blocking_send(OutputBlock { rows, body: BlockBody::Raw(raw) }).is_ok()
    }
}

/// The row of an image that was checked.
fn row(
    layer: &Layer,
    seed: walkeep_core::HashSeed,
    position: u32,
    entry: &BlockEntry,
    image: &[u8],
) -> Result<FrameRow> {
    layer.segment.check_image(seed, position, entry, image)?;
    let (index, at) = (layer.segment.index(), position as usize);
    match (index.pages().get(at), index.frames().get(at), index.hashes().get(at)) {
        (Some(page), Some(frame), Some(hash)) => Ok(FrameRow { page: *page, frame: *frame, hash: *hash }),
        _ => Err(Error::invalid("a compaction", "its pieces were laid out for other inputs")),
    }
}
