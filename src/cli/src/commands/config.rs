//! `walkeep config check FILE`: what would be replicated now.
//!
//! It opens no store and takes hold of no database: a configuration can be checked on another machine than the one it
//! is for, and beside a daemon that uses it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use serde::Serialize;
use walkeep::core::Namespace;
use walkeep_sqlite::{Probe, probe};

use crate::config::{Config, DatabaseEntry, Databases, LeftOut, LogFormat, ReplicationSettings};
use crate::output;

/// As many file names stand in a note, for people.
const NAMES_MAX: usize = 3;

#[derive(Serialize)]
struct Document<'a> {
    metrics: Option<SocketAddr>,
    log_format: LogFormat,
    quota_total_bytes: Option<NonZeroU64>,
    databases: Vec<Row<'a>>,
    left_out: Vec<LeftOutRow>,
}

#[derive(Serialize)]
struct Row<'a> {
    path: &'a Path,
    store: String,
    namespace: &'a Namespace,
    unfenced: bool,
    settings: &'a ReplicationSettings,
    line: usize,
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct LeftOutRow {
    path: PathBuf,
    why: String,
    line: usize,
}

pub(super) fn check(file: &Path, json: bool) -> anyhow::Result<()> {
    let config = Config::load(file)?;
    let Databases { entries, left_out } = config.databases()?;
    let databases = entries.iter().map(Row::new).collect();
    let left_out: Vec<_> = left_out.into_iter().map(LeftOutRow::new).collect();
    let document = Document {
        metrics: config.metrics,
        log_format: config.log_format,
        quota_total_bytes: config.total_bytes_max,
        databases,
        left_out,
    };
    if json {
        return output::json(&document);
    }
    show(&document);
    Ok(())
}

impl<'a> Row<'a> {
    fn new(entry: &'a DatabaseEntry) -> Self {
        let mut warnings = Vec::new();
        match probe(&entry.path) {
            Ok(Probe::Database { wal_mode: true } | Probe::Empty) => {}
            Ok(Probe::Database { wal_mode: false }) => {
                warnings.push("it is in rollback mode: only databases in WAL mode are replicated".into());
            }
            Ok(Probe::Missing) => warnings.push("it does not exist yet".into()),
            Ok(Probe::NotAFile) => warnings.push("it is not a file".into()),
            Ok(Probe::Foreign(why)) => warnings.push(format!("it is not a SQLite database: {why}")),
            Err(error) => warnings.push(format!("it cannot be read: {error}")),
        }
        if entry.unfenced {
            warnings.push("unfenced: of two writers at once, one loses what it was told is stored".into());
        }
        Self {
            path: &entry.path,
            store: entry.store.to_string(),
            namespace: &entry.namespace,
            unfenced: entry.unfenced,
            settings: &entry.settings,
            line: entry.place.line,
            warnings,
        }
    }
}

impl LeftOutRow {
    fn new(left_out: LeftOut) -> Self {
        Self { path: left_out.path, why: left_out.why.to_string(), line: left_out.place.line }
    }
}

fn show(document: &Document<'_>) {
    for row in &document.databases {
        let settings = row.settings;
        output::line(format!("{} -> {} namespace {}", row.path.display(), row.store, row.namespace));
        output::line(format!(
            "    sync {:?}, poll {:?}, busy {:?}, checkpoint {}, seal {}, spool {}{}",
            settings.sync_interval,
            settings.poll_interval,
            settings.busy_timeout,
            output::bytes(settings.checkpoint_bytes),
            output::bytes(settings.seal_bytes),
            output::bytes(settings.spool_bytes_max),
            if row.unfenced { ", unfenced" } else { "" }
        ));
        if !settings.quota.is_unlimited() {
            output::line(format!("    {}", settings.quota));
        }
        output::line(format!("    {}", settings.care));
    }
    output::line(output::count(document.databases.len() as u64, "database"));
    if let Some(total) = document.quota_total_bytes {
        let total = output::bytes(total.get());
        output::line(format!("all together at most {total} of segments in each store"));
    }
    if let Some(metrics) = document.metrics {
        output::line(format!("metrics: http://{metrics}/metrics"));
    }
    for row in &document.databases {
        for warning in &row.warnings {
            output::note(format!("warning: {}: {warning}", row.path.display()));
        }
    }
    note_left_out(&document.left_out);
    if document.databases.is_empty() {
        output::note("warning: there is nothing to replicate: no file matches");
    }
}

/// Says for each reason how many files are left out, with the names of some.
fn note_left_out(left_out: &[LeftOutRow]) {
    let mut by_reason: BTreeMap<(usize, &str), Vec<&Path>> = BTreeMap::new();
    for row in left_out {
        by_reason.entry((row.line, row.why.as_str())).or_default().push(&row.path);
    }
    for ((line, why), paths) in by_reason {
        let names = paths.iter().take(NAMES_MAX).map(|path| path.display().to_string()).collect::<Vec<_>>();
        let more = if paths.len() > NAMES_MAX { ", …" } else { "" };
        let count = output::count(paths.len() as u64, "file");
        output::note(format!("left out by line {line}: {count} ({why}): {}{more}", names.join(", ")));
    }
}
