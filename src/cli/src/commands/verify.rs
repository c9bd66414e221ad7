//! `walkeep verify STORE`: what is stored, checked and if wanted proven.

use std::process::ExitCode;

use serde::Serialize;
use walkeep::Error;
use walkeep::core::{Drill, Namespace};
use walkeep::verify::{Report, restore_drill, verify, verify_since_last};
use walkeep::{Bucket, Handles};

use super::{is_gone, warn_foreign_folders, warn_ignored};
use crate::args::VerifyArgs;
use crate::failure::{CORRUPT, UNREACHABLE, Usage};
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
    proven_before: usize,
    foreign: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    restore_drill: Option<Drill>,
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
    if store.bucket.is_libsql() && (args.since_last || args.restore_drill) {
        let why = "--since-last and --restore-drill write down what they proved, and a bucket of libsql-wal is only \
                   read; use --deep";
        return Err(Usage(why.into()).into());
    }
    if store.bucket.is_libsql() {
        output::note(
            "note: libsql-wal records neither the identity of a log nor the state of a database: that objects are whole \
             and join does not prove that they are of one log",
        );
    }
    let mut damaged = 0;
    for namespace in &namespaces {
        let (report, drill) = match look(&store.bucket, namespace, args).await {
            // A folder with a fitting name and no manifest: somebody else's.
            Err(Error::NotFound { .. }) if args.namespace.is_none() => {
                foreign += usize::from(!is_gone(&store.bucket, namespace).await?);
                continue;
            }
            report => report?,
        };
        warn_ignored(namespace, report.ignored, report.unconfirmed);
        damaged += usize::from(!report.problems.is_empty());
        show(namespace, &report, drill, args.deep || args.since_last, json)?;
    }
    warn_foreign_folders(foreign);
    Ok(if damaged > 0 { ExitCode::from(CORRUPT) } else { ExitCode::SUCCESS })
}

/// Verifies a namespace, and tries a restore if that is wanted. Damage is not an error of this call.
async fn look(
    bucket: &Bucket,
    namespace: &Namespace,
    args: &VerifyArgs,
) -> Result<(Report, Option<Drill>), Error> {
    let handles = Handles::system();
    let mut report = if args.since_last {
        verify_since_last(bucket, namespace, &handles).await?
    } else {
        verify(bucket, namespace, args.deep).await?
    };
    if !args.restore_drill {
        return Ok((report, None));
    }
    match restore_drill(bucket, namespace, &handles).await {
        Ok((drill, _)) => Ok((report, Some(drill))),
        Err(error @ (Error::Corrupt(_) | Error::Unreachable(_))) => {
            report.problems.push(error);
            Ok((report, None))
        }
        Err(error) => Err(error),
    }
}

fn show(
    namespace: &Namespace,
    report: &Report,
    drill: Option<Drill>,
    deep: bool,
    json: bool,
) -> anyhow::Result<()> {
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
            proven_before: report.proven_before,
            restore_drill: drill,
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
    if report.proven_before > 0 {
        let before = output::count(report.proven_before as u64, "segment");
        text = format!("{text}; {before} proven before and not read again");
    }
    if let Some(drill) = drill {
        text = format!(
            "{text}; restored frame {} of {} to nowhere: it is what was recorded",
            drill.frame, drill.time
        );
    }
    output::line(text);
    for problem in problems {
        output::line(format!("  {problem}"));
    }
    Ok(())
}
