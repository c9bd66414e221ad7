//! `walkeep verify STORE`: what is stored, checked and if wanted proven.

use std::process::ExitCode;

use serde::Serialize;
use walkeep::Error;
use walkeep::core::Namespace;
use walkeep::verify::{Report, verify};

use super::{warn_foreign_folders, warn_ignored};
use crate::args::VerifyArgs;
use crate::failure::{CORRUPT, UNREACHABLE};
use crate::output;

#[derive(Serialize)]
struct Row<'a> {
    namespace: &'a Namespace,
    ok: bool,
    deep: bool,
    manifests: usize,
    segments: usize,
    segment_bytes: u64,
    states_proven: u64,
    images_proven: u64,
    foreign: usize,
    problems: Vec<String>,
}

pub(super) async fn run(args: &VerifyArgs, json: bool) -> anyhow::Result<ExitCode> {
    let store = args.format.open(&args.store.store).await?;
    let (namespaces, mut foreign) = match &args.namespace {
        Some(namespace) => (vec![namespace.clone()], 0),
        None => store.bucket.namespaces().await?,
    };
    if namespaces.is_empty() {
        output::note("the store has no namespaces");
        return Ok(ExitCode::from(UNREACHABLE));
    }
    if store.bucket.is_libsql() {
        output::note(
            "note: libsql-wal records neither the identity of a log nor the state of a database: that objects are whole \
             and join does not prove that they are of one log",
        );
    }
    let mut damaged = 0;
    for namespace in &namespaces {
        let report = match verify(&store.bucket, namespace, args.deep).await {
            // A folder with a fitting name and no manifest: somebody else's.
            Err(Error::NotFound { .. }) if args.namespace.is_none() => {
                foreign += 1;
                continue;
            }
            report => report?,
        };
        warn_ignored(namespace, report.ignored, report.unconfirmed);
        damaged += usize::from(!report.problems.is_empty());
        show(namespace, &report, args.deep, json)?;
    }
    warn_foreign_folders(foreign);
    Ok(if damaged > 0 { ExitCode::from(CORRUPT) } else { ExitCode::SUCCESS })
}

fn show(namespace: &Namespace, report: &Report, deep: bool, json: bool) -> anyhow::Result<()> {
    let problems = report.problems.iter().map(ToString::to_string).collect::<Vec<_>>();
    if json {
        return output::json(&Row {
            namespace,
            ok: problems.is_empty(),
            deep,
            manifests: report.manifests,
            segments: report.segments,
            segment_bytes: report.segment_bytes,
            states_proven: report.states_proven,
            images_proven: report.images_proven,
            foreign: report.ignored.foreign + report.foreign_manifests,
            problems,
        });
    }
    let state = if problems.is_empty() { "ok" } else { "DAMAGED" };
    let mut text = format!(
        "{namespace}: {state}, {}, {} of {}",
        output::count(report.manifests as u64, "manifest"),
        output::count(report.segments as u64, "segment"),
        output::bytes(report.segment_bytes)
    );
    if deep {
        let images = output::count(report.images_proven, "page image");
        text = format!(
            "{text}; proven: {images}, the state at {}",
            output::count(report.states_proven, "commit")
        );
    }
    output::line(text);
    for problem in problems {
        output::line(format!("  {problem}"));
    }
    Ok(())
}
