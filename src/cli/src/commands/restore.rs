//! `walkeep restore STORE -o OUT`: plan, write beside the target, prove, check, put in place.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::bail;
use serde::Serialize;
use walkeep::backends::os::SystemRandom;
use walkeep::core::{Namespace, StateChecksum, UnixMillis};
use walkeep::restore::{FileTarget, RestoreOptions, RestorePlan, Restored};
use walkeep::{Error, RestorePoint, View, find_pin};
use walkeep_sqlite::IntegrityCheck;

use super::{only_namespace, open_directory_of, split_output};
use crate::args::RestoreArgs;
use crate::output;
use crate::progress::with_bar;
use crate::store::Store;

/// What was restored, for machines.
#[derive(Serialize)]
struct Document<'a> {
    namespace: &'a Namespace,
    output: &'a Path,
    frame_no: u64,
    time: String,
    time_ms: UnixMillis,
    pages: u32,
    page_size: u32,
    bytes: u64,
    requests: u64,
    bytes_read: u64,
    state_checksum: StateChecksum,
    verified: bool,
    integrity_check: IntegrityCheck,
    removed: &'a [String],
}

/// What would be restored, for machines.
#[derive(Serialize)]
struct PlanDocument<'a> {
    namespace: &'a Namespace,
    frame_no: u64,
    time: String,
    time_ms: UnixMillis,
    pages: u32,
    page_size: u32,
    objects: usize,
    requests: u64,
    bytes_to_read: u64,
    pages_to_write: u64,
    disk_bytes: u64,
    gaps: [u64; 0],
}

/// How often a restore begins again when objects vanish under it.
const ATTEMPTS: u32 = 3;

/// A finished restore, before it is reported.
struct Done {
    store: Store,
    view: View,
    restored: Restored,
    removed: Vec<String>,
}

pub(super) async fn run(args: &RestoreArgs, json: bool) -> anyhow::Result<()> {
    match &args.output {
        Some(output) if !args.dry_run => {
            let done = write(args, output).await?;
            report(&done, output, args.integrity_check.into(), json)
        }
        output => {
            // What a restore would refuse is refused here too.
            output.as_deref().map(|output| Target::new(output, args.force)).transpose()?;
            let (store, view) = open(args).await?;
            show_plan(&store, &view, &RestorePlan::new(&view), json)
        }
    }
}

/// Restores without saying so.
///
/// # Errors
///
/// As the command.
pub(super) async fn write_quietly(args: &RestoreArgs, output: &Path) -> anyhow::Result<()> {
    write(args, output).await.map(drop)
}

async fn write_pages(view: &View, target: &mut FileTarget) -> Result<Restored, Error> {
    let plan = RestorePlan::new(view);
    let options = RestoreOptions::default();
    let written = view.write_to(&plan, target, &options);
    let page_bytes = view.page_size().bytes_u64();
    let total = plan.pages_written * page_bytes;
    with_bar("restoring", total, page_bytes, Arc::clone(&options.progress), written).await
}

async fn open(args: &RestoreArgs) -> anyhow::Result<(Store, View)> {
    let store = args.from.format.open(&args.from.store.store).await?;
    let namespace = only_namespace(&store.bucket, args.from.namespace.as_ref()).await?;
    let opened =
        View::open(&store.bucket, &namespace, point(&store, &namespace, args).await?, args.max_db_size).await;
    if let (Err(_), Some(note)) = (&opened, args.at.as_ref().and_then(|at| at.note.as_ref())) {
        output::note_beside_failure(note);
    }
    let view = opened?;
    note_time(args, &view);
    Ok((store, view))
}

async fn write(args: &RestoreArgs, output: &Path) -> anyhow::Result<Done> {
    let mut attempt = 0;
    let (target, store, view, restored) = loop {
        attempt += 1;
        // An occupied name is refused before anything is fetched.
        let mut target = Target::new(output, args.force)?;
        let (store, view) = open(args).await?;
        match write_pages(&view, &mut target.file).await {
            Ok(restored) => break (target, store, view, restored),
            // An object that was listed is gone: a compaction may have put another in its place.
            Err(Error::NotFound { .. }) if attempt < ATTEMPTS => {}
            Err(Error::NotFound { what }) => {
                return Err(Error::corrupt(what, 0, "an object that is listed", "no object").into());
            }
            Err(error) => return Err(error.into()),
        }
    };
    let hidden = target.parent.join(target.file.hidden_name());
    let findings = walkeep_sqlite::check(&hidden, args.integrity_check.into())?;
    if !findings.is_empty() {
        bail!(
            "the restored database is exactly what was captured, but SQLite finds it damaged ({}); to have it anyway \
             use --integrity-check none",
            findings.join("; ")
        );
    }
    let removed = target.file.publish()?;
    Ok(Done { store, view, restored, removed })
}

/// Where the file goes.
struct Target {
    parent: PathBuf,
    file: FileTarget,
}

impl Target {
    fn new(output: &Path, force: bool) -> anyhow::Result<Self> {
        let (parent, name) = split_output(output)?;
        let file = FileTarget::new(open_directory_of(output, &parent)?, name, force, &SystemRandom)?;
        Ok(Self { parent, file })
    }
}

async fn point(store: &Store, namespace: &Namespace, args: &RestoreArgs) -> Result<RestorePoint, Error> {
    Ok(match (&args.at, args.frame, &args.pin) {
        (_, _, Some(name)) => RestorePoint::Frame(find_pin(&store.bucket, namespace, name).await?.frame),
        (Some(at), ..) => RestorePoint::Time(at.time),
        (None, Some(frame), None) => RestorePoint::Frame(frame),
        (None, None, None) => RestorePoint::Latest,
    })
}

/// Says how a time was read, and which commit answers it.
fn note_time(args: &RestoreArgs, view: &View) {
    let Some(at) = &args.at else { return };
    if let Some(note) = &at.note {
        output::note(note);
    }
    let commit = view.commit();
    if commit.time < at.time {
        output::note(format!(
            "the last commit at or before {} is frame {} of {}",
            at.time, commit.frame_no, commit.time
        ));
    }
}

fn report(done: &Done, path: &Path, how: IntegrityCheck, json: bool) -> anyhow::Result<()> {
    let Done { store, view, restored, removed } = done;
    let commit = &restored.commit;
    let bytes = commit.size_after.file_bytes(restored.page_size);
    let requests = store.requests();
    for name in removed {
        output::note(format!("removed {name}, which belonged to the file that was replaced"));
    }
    if json {
        return output::json(&Document {
            namespace: view.namespace(),
            output: path,
            frame_no: commit.frame_no.get(),
            time: commit.time.to_string(),
            time_ms: commit.time,
            pages: commit.size_after.get(),
            page_size: restored.page_size.bytes_u32(),
            bytes,
            requests: requests.total(),
            bytes_read: requests.bytes_read,
            state_checksum: restored.state,
            verified: restored.verified,
            integrity_check: how,
            removed,
        });
    }
    let proof = match (restored.verified, store.bucket.is_libsql()) {
        (true, _) => "proven by",
        (false, false) => "which has no recorded state checksum; computed was",
        (false, true) => "each object checked, of a bucket that records no state checksum; computed was",
    };
    output::line(format!(
        "{}: frame {} of {}, {}, {proof} state checksum {}",
        path.display(),
        commit.frame_no,
        commit.time,
        output::bytes(bytes),
        restored.state
    ));
    Ok(())
}

fn show_plan(store: &Store, view: &View, plan: &RestorePlan, json: bool) -> anyhow::Result<()> {
    let commit = view.commit();
    let requests = store.requests().total() + plan.requests;
    // Opening the view has checked that the segments cover the log without a gap.
    if json {
        return output::json(&PlanDocument {
            namespace: view.namespace(),
            frame_no: commit.frame_no.get(),
            time: commit.time.to_string(),
            time_ms: commit.time,
            pages: commit.size_after.get(),
            page_size: view.page_size().bytes_u32(),
            objects: plan.segments,
            requests,
            bytes_to_read: store.requests().bytes_read + plan.bytes,
            pages_to_write: plan.pages_written,
            disk_bytes: plan.file_bytes,
            gaps: [],
        });
    }
    output::line(format!("restore point  frame {} of {}", commit.frame_no, commit.time));
    output::line(format!("objects        {}", plan.segments));
    output::line(format!("requests       {requests}"));
    output::line(format!("bytes to read  {}", output::bytes(store.requests().bytes_read + plan.bytes)));
    output::line(format!("disk needed    {}", output::bytes(plan.file_bytes)));
    output::line("gaps           none");
    Ok(())
}
