//! `walkeep inspect`: one stored segment, from a store or from a file.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use serde::Serialize;
use walkeep::backends::StoreUrl;
use walkeep::backends::fs::{Fs, FsConfig};
use walkeep::core::segment::Codec;
use walkeep::core::{Commit, Namespace, ObjectPath, SegmentKey};
use walkeep::{Bucket, Error, OpenSegment, Timeline};

use super::only_namespace;
use crate::args::NAMESPACE_VARIABLE;
use crate::failure::Usage;
use crate::output;
use crate::store::{Store, StoreParser};

#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// The store, or the file of a segment
    #[arg(value_name = "STORE|FILE", env = "WALKEEP_STORE", hide_env_values = true, value_parser = StoreParser)]
    pub(crate) store: StoreUrl,
    /// The segment's name, as `walkeep segments` shows it
    #[arg(value_name = "KEY")]
    pub(crate) key: Option<String>,
    /// The namespace; by default the only one of the store
    #[arg(short, long, value_name = "NS", env = NAMESPACE_VARIABLE)]
    pub(crate) namespace: Option<Namespace>,
    /// List every frame: page, frame number, hash
    #[arg(long)]
    pub(crate) pages: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    key: String,
    bytes: u64,
    log_id: String,
    segment_id: String,
    epoch: u32,
    level: u8,
    start: u64,
    end: u64,
    frames: u32,
    page_size: u32,
    size_after: u32,
    min_size_after: u32,
    state_checksum: String,
    object_checksum: String,
    parts: BTreeMap<&'static str, u64>,
    blocks: usize,
    codecs: BTreeMap<String, usize>,
    image_bytes: u64,
    commits: &'a [Commit],
    #[serde(skip_serializing_if = "Option::is_none")]
    pages: Option<Vec<PageRow>>,
}

#[derive(Serialize)]
struct PageRow {
    page: u32,
    frame_no: u64,
    hash: String,
}

pub(super) async fn run(args: &InspectArgs, json: bool) -> anyhow::Result<()> {
    let segment = match (&args.key, key_alone(args)) {
        (Some(key), _) => from_store(args, &args.store, key).await?,
        (None, Some((store, key))) => from_store(args, &store, key).await?,
        (None, None) => match args.store.path() {
            Some(path) => from_file(path).await?,
            None => return Err(no_key(args.store.to_string()).into()),
        },
    };
    segment.index().check_map(segment.path().as_str())?;
    if json { show_json(&segment, args.pages) } else { show(&segment, args.pages) }
}

/// The store of the environment and the key, if the one argument is a key and not a file.
fn key_alone(args: &InspectArgs) -> Option<(StoreUrl, &str)> {
    let path = args.store.path()?;
    let key = path.to_str().filter(|text| text.parse::<SegmentKey>().is_ok() && !path.exists())?;
    let store = std::env::var("WALKEEP_STORE").ok()?;
    Some((store.parse().ok()?, key))
}

async fn from_store(args: &InspectArgs, store: &StoreUrl, key: &str) -> anyhow::Result<OpenSegment> {
    let key: SegmentKey = key.parse().map_err(|error: Error| Usage(error.to_string()))?;
    let store = Store::open(store)?;
    let namespace = only_namespace(&store.bucket, args.namespace.as_ref()).await?;
    let timeline = Timeline::load(&store.bucket, &namespace).await?;
    let mut all = timeline.segments().iter().chain(timeline.unconfirmed());
    let stored = all.find(|segment| segment.key == key);
    let stored = stored.ok_or_else(|| Error::not_found(format!("segment {key} in namespace {namespace}")))?;
    Ok(timeline.open(&store.bucket, *stored).await?)
}

fn no_key(what: String) -> Usage {
    Usage(format!("{what}: to look into a store, name a KEY (`walkeep segments` lists them)"))
}

async fn from_file(path: &Path) -> anyhow::Result<OpenSegment> {
    let metadata = std::fs::metadata(path).with_context(|| format!("read {}", path.display()))?;
    if metadata.is_dir() {
        return Err(no_key(format!("{} is a directory", path.display())).into());
    }
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let config = FsConfig::open(path.parent().unwrap_or(Path::new("")))?;
    let bucket = Bucket::new(Arc::new(Fs::new(config)), None)?;
    Ok(OpenSegment::inspect(&bucket, ObjectPath::new(name)?, metadata.len()).await?)
}

fn codecs(segment: &OpenSegment) -> BTreeMap<String, usize> {
    let mut codecs = BTreeMap::new();
    for block in segment.index().blocks() {
        let name = match block.codec {
            Codec::None => "none",
            Codec::Zstd => "zstd",
            Codec::Lz4 => "lz4",
            Codec::LibsqlFrames => "libsql frames",
        };
        *codecs.entry(name.to_string()).or_default() += 1;
    }
    codecs
}

fn rows(segment: &OpenSegment) -> impl Iterator<Item = PageRow> {
    let index = segment.index();
    let rows = index.pages().iter().zip(index.frames()).zip(index.hashes());
    rows.map(|((page, frame), hash)| PageRow {
        page: page.get(),
        frame_no: frame.get(),
        hash: format!("{:016x}", hash.0),
    })
}

fn show_json(segment: &OpenSegment, pages: bool) -> anyhow::Result<()> {
    let footer = segment.index().footer();
    let header = &footer.header;
    output::json(&Document {
        key: segment.key().to_string(),
        bytes: segment.size(),
        log_id: header.log_id.to_string(),
        segment_id: header.segment_id.to_string(),
        epoch: header.epoch.get(),
        level: header.level,
        start: header.start.get(),
        end: header.end.get(),
        frames: header.frame_count,
        page_size: header.page_size.bytes_u32(),
        size_after: footer.size_after.get(),
        min_size_after: footer.min_size_after.get(),
        state_checksum: footer.state.to_string(),
        object_checksum: format!("{:016x}", footer.object_checksum),
        parts: footer.part_lengths().into_iter().collect(),
        blocks: segment.index().blocks().len(),
        codecs: codecs(segment),
        image_bytes: u64::from(header.frame_count) * header.page_size.bytes_u64(),
        commits: segment.index().commits(),
        pages: pages.then(|| rows(segment).collect()),
    })
}

fn show(segment: &OpenSegment, pages: bool) -> anyhow::Result<()> {
    let footer = segment.index().footer();
    let header = &footer.header;
    let images = u64::from(header.frame_count) * header.page_size.bytes_u64();
    let codecs = codecs(segment).iter().map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>();
    output::line(format!("key         {}", segment.key()));
    output::line(format!("log         {}", header.log_id));
    output::line(format!(
        "segment     {} (epoch {}, level {})",
        header.segment_id, header.epoch, header.level
    ));
    output::line(format!("frames      {} to {} ({} stored)", header.start, header.end, header.frame_count));
    output::line(format!("page size   {}", header.page_size));
    output::line(format!(
        "images      {} in {} ({})",
        output::bytes(images),
        output::count(segment.index().blocks().len() as u64, "block"),
        codecs.join(", ")
    ));
    output::line(format!(
        "database    {} pages at the end, {} at the least",
        footer.size_after, footer.min_size_after
    ));
    output::line(format!("state       {}", footer.state));
    output::line(format!("object      {} bytes, crc64 {:016x}", segment.size(), footer.object_checksum));
    for (name, len) in footer.part_lengths() {
        output::line(format!("  {name:<10}{len:>12} bytes"));
    }
    output::line("commits");
    for commit in segment.index().commits() {
        output::line(format!("  {:>12}  {}  {} pages", commit.frame_no, commit.time, commit.size_after));
    }
    if pages {
        output::line("frames: page, frame, hash");
        for row in rows(segment) {
            output::line(format!("  {:>10} {:>12}  {}", row.page, row.frame_no, row.hash));
        }
    }
    Ok(())
}
