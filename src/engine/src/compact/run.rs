//! Carrying a plan out: fetch, gather, encode, write, publish.
//!
//! Four stages, each a bounded queue behind the one before: requests in order of first need; decompression and checks;
//! compression of what is new; writing. Nothing is published unless all of them have ended well.

use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use futures::stream::{self, StreamExt, TryStreamExt};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use walkeep_core::segment::{
    BlockEncoder, Compression, EncodedBlock, FrameRow, SegmentHeader, SegmentWriter,
};
use walkeep_core::{Commit, Error, PageCount, Result, SealedSegment, SegmentId};

use super::gather::{BlockBody, Fetched, Gatherer, OutputBlock};
use super::inputs::Inputs;
use super::layout::{Fetch, OutputLayout};
use super::plan::CompactionPlan;
use super::throttle::Throttle;
use super::{CompactOptions, memory};
use crate::bucket::Bucket;
use crate::restore::Progress;
use crate::spool::Spool;

/// Blocks that are compressed at the same time.
const ENCODERS: usize = 2;

/// Blocks that wait between two stages.
const QUEUE: usize = 2;

/// Merges opened inputs into one segment, which is not stored yet.
///
/// # Errors
///
/// `Corrupt` naming the input that is damaged; `NotFound` when one is gone; `Exhausted` when the memory allowed is too
/// little, or the disk full; `Io`, `Unavailable`.
pub(super) async fn merge_inputs(
    bucket: &Bucket,
    plan: &CompactionPlan,
    inputs: Inputs,
    options: &CompactOptions,
    throttle: &Arc<Throttle>,
) -> Result<SealedSegment> {
    let run_max = memory::run_max(&inputs, options.memory_bytes())? as u64;
    let writer = begin(plan, &inputs, options)?;
    let block_raw_target = writer.block_raw_target();
    let (commit, smallest) = (inputs.commit, inputs.smallest);
    let inputs = Arc::new(inputs);
    let OutputLayout { pieces, fetches } = OutputLayout::new(&inputs, block_raw_target, run_max);
    let gatherer = Gatherer::new(Arc::clone(&inputs), block_raw_target, Arc::clone(throttle))?;
    let (fetched_in, fetched_out) = channel(1);
    let (gathered_in, gathered_out) = channel(QUEUE);
    let (encoded_in, encoded_out) = channel(QUEUE);

    let fetching = fetch_all(bucket, &inputs, fetches, throttle, fetched_in);
    let gathering = blocking(move || gatherer.run(pieces, fetched_out, &gathered_in));
    let encoding = encode_all(options.compression, throttle, gathered_out, encoded_in);
    let progress = Arc::clone(&options.progress);
    let writing = blocking(move || write_all(writer, encoded_out, &progress, &commit, smallest));
    let (fetched, gathered, encoded, written) = futures::join!(fetching, gathering, encoding, writing);
    // The first stage that failed is the cause; those behind it only ended early.
    fetched?;
    gathered?;
    encoded?;
    written
}

/// Begins the output.
fn begin(plan: &CompactionPlan, inputs: &Inputs, options: &CompactOptions) -> Result<SegmentWriter<Spool>> {
    let (output, random) = (plan.output(), &*options.handles.random);
    let newest = inputs.layers.first().ok_or_else(|| Error::not_found("an input of a compaction"))?;
    let count = inputs.frame_count();
    let frame_count = u32::try_from(count);
    let header = SegmentHeader {
        page_size: inputs.page_size,
        log_id: newest.segment.index().footer().header.log_id,
        segment_id: SegmentId::random(random)?,
        epoch: output.epoch(),
        level: output.level(),
        start: output.start(),
        end: output.end(),
        frame_count: frame_count
            .map_err(|_| Error::Exhausted { what: format!("a segment of {count} frames") })?,
    };
    let spool = Spool::new(Arc::clone(&options.spool), random)?
        .with_memory_max(memory::spool(options.memory_bytes()));
    SegmentWriter::new(spool, header, inputs.seed, options.compression, true)
}

/// Runs a stage on a thread where it may block.
async fn blocking<T: Send + 'static>(stage: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(stage).await {
        Ok(done) => done,
        Err(error) => {
            Err(Error::Unknown { what: format!("a stage of a compaction did not finish: {error}") })
        }
    }
}

/// Fetches the runs, several at a time, and hands them on in order. Ends early when nobody listens any more.
async fn fetch_all(
    bucket: &Bucket,
    inputs: &Inputs,
    fetches: Vec<Fetch>,
    throttle: &Throttle,
    out: Sender<Fetched>,
) -> Result<()> {
    let fetching = fetches.into_iter().map(|fetch| fetch_one(bucket, inputs, fetch, throttle).boxed());
    let mut fetching = stream::iter(fetching).buffered(memory::FETCHES);
    while let Some(fetched) = fetching.try_next().await? {
        if out.send(fetched).await.is_err() {
            break;
        }
    }
    Ok(())
}

async fn fetch_one(bucket: &Bucket, inputs: &Inputs, fetch: Fetch, throttle: &Throttle) -> Result<Fetched> {
    let Some(layer) = inputs.layers.get(fetch.layer) else {
        return Err(Error::invalid("a compaction", "its requests were laid out for other inputs"));
    };
    if !layer.segment.is_whole() {
        throttle.before_request(fetch.bytes.end - fetch.bytes.start).await;
    }
    let start = fetch.bytes.start;
    let bytes = layer.segment.bytes(bucket, fetch.bytes).await?;
    Ok(Fetched { layer: fetch.layer, start, bytes })
}

/// A block of the output as it is stored.
struct Encoded {
    rows: Vec<FrameRow>,
    block: EncodedBlock,
}

/// Encoders that are not in use: each takes a while to make, and more memory than a block.
type Encoders = Arc<Mutex<Vec<BlockEncoder>>>;

/// Compresses what is not, several blocks at a time, and hands them on in order.
async fn encode_all(
    compression: Compression,
    throttle: &Arc<Throttle>,
    gathered: Receiver<OutputBlock>,
    out: Sender<Encoded>,
) -> Result<()> {
    let encoders = Encoders::default();
    let blocks =
        stream::unfold(gathered, |mut gathered| async { gathered.recv().await.map(|one| (one, gathered)) });
    let encoding = blocks.map(|OutputBlock { rows, body }| {
        let (throttle, encoders) = (Arc::clone(throttle), Arc::clone(&encoders));
        async move {
            let block = match body {
                BlockBody::Copied(block) => block,
                BlockBody::Raw(raw) => {
                    blocking(move || encode(compression, &encoders, &raw, &throttle)).await?
                }
            };
            Ok::<_, Error>(Encoded { rows, block })
        }
    });
    let mut encoding = std::pin::pin!(encoding.buffered(ENCODERS));
    while let Some(encoded) = encoding.try_next().await? {
        if out.send(encoded).await.is_err() {
            break;
        }
    }
    Ok(())
}

fn encode(
    compression: Compression,
    encoders: &Encoders,
    raw: &[u8],
    throttle: &Throttle,
) -> Result<EncodedBlock> {
    let began = tokio::time::Instant::now();
    let idle = || encoders.lock().unwrap_or_else(PoisonError::into_inner);
    let free = idle().pop();
    let mut encoder = match free {
        Some(encoder) => encoder,
        None => BlockEncoder::new(compression)?,
    };
    let encoded = encoder.encode(raw);
    idle().push(encoder);
    throttle.after_work(began.elapsed());
    encoded
}

/// Writes the blocks as they come, and ends the segment.
fn write_all(
    mut writer: SegmentWriter<Spool>,
    mut encoded: Receiver<Encoded>,
    progress: &Progress,
    commit: &Commit,
    smallest: PageCount,
) -> Result<SealedSegment> {
    while let Some(Encoded { rows, block }) = encoded.blocking_recv() {
        writer.push_block(&rows, &block)?;
        progress.add(rows.len() as u64);
    }
    // Refuses what is not complete.
    let (spool, summary) = writer.finish(&[*commit], smallest)?;
    Ok(SealedSegment { summary, body: spool.into_body()? })
}
