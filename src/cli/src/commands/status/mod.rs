//! `walkeep status`: where replication stands.
//!
//! Of a database on this machine it reads what its daemon last wrote beside it, and whether that still runs. It asks
//! neither the daemon nor the database, and the store only if it is told to.

mod row;
mod stored;
mod table;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use walkeep::Handles;
use walkeep::core::{Namespace, UnixMillis};
use walkeep_sqlite::replication::{LocalStatus, state_directory};

use self::row::Row;
use self::stored::Stored;
use super::replicate::default_namespace;
use crate::config::Config;
use crate::failure::{LAGGING, Usage};
use crate::output;
use crate::reporting_args::StatusArgs;
use crate::store::Store;

pub(super) async fn run(args: &StatusArgs, json: bool) -> anyhow::Result<ExitCode> {
    let now = Handles::system().clock.now();
    let mut rows = Vec::new();
    if let Some(config) = &args.config {
        for entry in Config::load(config)?.databases()?.entries {
            rows.push(local(&entry.path, None, Some(&entry.namespace), now)?.of_store(&entry.store));
        }
    } else if let Some(database) = &args.database {
        let mut row = local(database, args.state_dir.as_ref(), None, now)?;
        if let Some(url) = &args.store {
            let namespace = match (&args.namespace, &row.namespace) {
                (Some(namespace), _) | (None, Some(namespace)) => namespace.clone(),
                (None, None) => default_namespace(database)?,
            };
            row.stored = Some(Stored::of(&Store::open(url)?.bucket, &namespace).await?);
        }
        rows.push(row);
    } else if let Some(url) = &args.store {
        if args.max_lag.is_some() {
            let why = "--max-lag is about a database on this machine: a store does not know what was not stored. Name \
                       the database, or --config";
            return Err(Usage(why.into()).into());
        }
        return stored::show(&Store::open(url)?.bucket, args.namespace.as_ref(), now, json).await;
    }
    let over = |row: &Row| args.max_lag.is_some_and(|max| row.is_over(max, now));
    if json {
        for row in &rows {
            output::json(&row.document(now, args.max_lag.map(|_| over(row))))?;
        }
    } else {
        table::show(&rows, now);
    }
    let count = rows.iter().filter(|row| over(row)).count();
    if count == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    let max = args.max_lag.unwrap_or_default();
    output::note(format!(
        "{} over --max-lag {max:?}, or not replicated",
        output::count(count as u64, "database")
    ));
    Ok(ExitCode::from(LAGGING))
}

/// What a daemon left beside a database.
fn local(
    database: &Path,
    state_dir: Option<&PathBuf>,
    namespace: Option<&Namespace>,
    now: UnixMillis,
) -> anyhow::Result<Row> {
    // Where the daemon has it: beside the file itself, not beside a symbolic link to it.
    let path = std::fs::canonicalize(database).unwrap_or_else(|_| database.to_path_buf());
    let directory = state_dir.cloned().unwrap_or_else(|| state_directory(&path));
    let found = LocalStatus::read(&directory)?;
    if found.is_none() && !path.exists() {
        // A slip in the name must not look like a database that waits to be replicated.
        let what = format!("read {}", database.display());
        let source = std::io::Error::new(std::io::ErrorKind::NotFound, "there is no such file");
        return Err(walkeep::Error::io(what, source).into());
    }
    Ok(Row::new(database, namespace, found, now))
}
