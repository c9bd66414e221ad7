//! `walkeep catalog export`, `import` and `reshard`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use anyhow::Context;
use serde::Serialize;
use walkeep::backends::redb::RedbCatalog;
use walkeep::core::catalog::{
    Catalog, CatalogPart, CatalogRecord, ExportReader, Inserted, export_begin, export_end, export_record,
};
use walkeep::core::shards::ShardCount;
use walkeep::{Error, Handles};

use super::{CatalogArgs, NewCatalogArgs, open};
use crate::output;

/// The most bytes of a line of an export.
const LINE_MAX: u64 = 1 << 20;

/// How many conflicts a message names.
const NAMED: usize = 10;

pub(super) fn export(at: &CatalogArgs) -> anyhow::Result<()> {
    let catalog = open::existing(&at.catalog)?;
    output::line(export_begin(catalog.identity()?.id)?);
    let mut records = 0;
    for part in CatalogPart::ALL {
        for shard in 0..catalog.shards() {
            catalog.dump(shard, part, &mut |record| {
                records += 1;
                output::line(export_record(&record)?);
                Ok(())
            })?;
        }
    }
    output::line(export_end(records)?);
    Ok(())
}

#[derive(Serialize)]
struct Imported {
    added: u64,
    unchanged: u64,
    dry_run: bool,
}

pub(super) fn import(file: &Path, at: &NewCatalogArgs, dry_run: bool, json: bool) -> anyhow::Result<()> {
    // All of it is read and checked before anything is opened, or even made.
    let records = read(file)?;
    let catalog = if dry_run && !at.catalog.catalog.exists() {
        let handles = Handles::system();
        RedbCatalog::in_memory(at.shards.unwrap_or(ShardCount::ONE), handles.clock, &*handles.random)?
    } else {
        open::any(&at.catalog.catalog, at.shards)?
    };
    let Inserted { added, unchanged, conflicts } = catalog.try_insert(&records)?;
    if !conflicts.is_empty() {
        let named = conflicts.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
        let count = output::count(conflicts.len() as u64, "record");
        let what = format!("{count} with another content ({named}): nothing was imported, and it");
        return Err(Error::AlreadyExists { what }.into());
    }
    if !dry_run {
        catalog.insert(&records)?;
    }
    if json {
        return output::json(&Imported { added, unchanged, dry_run });
    }
    let done = if dry_run { "would add" } else { "added" };
    output::line(format!("{done} {}, {unchanged} there already", output::count(added, "record")));
    Ok(())
}

fn read(file: &Path) -> anyhow::Result<Vec<CatalogRecord>> {
    let what = || format!("read {}", file.display());
    let input: Box<dyn Read> = if file == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(file).with_context(what)?)
    };
    let (mut lines, mut reader, mut records) = (BufReader::new(input), ExportReader::default(), Vec::new());
    loop {
        let mut line = Vec::new();
        (&mut lines).take(LINE_MAX).read_until(b'\n', &mut line).with_context(what)?;
        if line.is_empty() {
            reader.finish()?;
            return Ok(records);
        }
        let text = std::str::from_utf8(&line).with_context(what)?;
        records.extend(reader.push(text.trim_end_matches(['\r', '\n']))?);
    }
}

#[derive(Serialize)]
struct Resharded {
    shards: ShardCount,
    records: u64,
}

pub(super) fn reshard(at: &CatalogArgs, shards: ShardCount, json: bool) -> anyhow::Result<()> {
    // Says so if there is none.
    drop(open::existing(&at.catalog)?);
    let path = at.catalog.canonicalize().with_context(|| format!("look for {}", at.catalog.display()))?;
    let handles = Handles::system();
    let records = RedbCatalog::reshard(&path, shards, &handles.clock, &*handles.random, &open::options())?;
    if json {
        return output::json(&Resharded { shards, records });
    }
    match records {
        0 => output::line(format!("the catalog has {shards} shards")),
        _ => output::line(format!(
            "{} moved: the catalog has {shards} shards",
            output::count(records, "record")
        )),
    }
    output::note("note: the next `walkeep catalog copy` copies all of it");
    Ok(())
}
