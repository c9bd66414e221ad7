//! `walkeep verify STORE`: what is stored, checked and if wanted proven.

use std::process::ExitCode;

use serde::Serialize;
use walkeep::Error;
use walkeep::backends::StoreUrl;
use walkeep::core::{Drill, Namespace};
use walkeep::verify::{CopiesReport, Report, compare_copies, restore_drill, verify, verify_since_last};
use walkeep::{Bucket, Handles};

use super::{is_gone, warn_foreign_folders, warn_ignored};
use crate::args::VerifyArgs;
use crate::failure::{CORRUPT, UNREACHABLE, Usage};
use crate::output;
use crate::store::Store;

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
    /// Of a store in two places.
    #[serde(skip_serializing_if = "Option::is_none")]
    copies: Option<CopiesRow>,
    problems: Vec<String>,
}

/// What the two stores of one have in common.
#[derive(Serialize)]
struct CopiesRow {
    first: &'static str,
    second: &'static str,
    alike: usize,
    alike_bytes: u64,
    only_in_first: usize,
    only_in_second: usize,
    differing: usize,
}

/// Two stores that are one, to be compared.
struct Pair {
    names: [&'static str; 2],
    stores: [Store; 2],
    /// Whether the second one may have more: a remote store has what other machines wrote.
    second_has_more: bool,
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
    let pair = Pair::open(&args.store.store)?;
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
        let mut problems = report.problems.iter().map(ToString::to_string).collect::<Vec<_>>();
        let copies = match &pair {
            Some(pair) => Some(pair.compare(namespace, args.deep, &mut problems).await?),
            None => None,
        };
        damaged += usize::from(!problems.is_empty());
        show(namespace, &report, drill, copies, problems, args.deep || args.since_last, json)?;
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

impl Pair {
    fn open(url: &StoreUrl) -> Result<Option<Self>, Error> {
        let Some([(first, one), (second, other)]) = url.sides() else { return Ok(None) };
        let second_has_more = matches!(url, StoreUrl::Tiered(_));
        let stores = [Store::open(&one)?, Store::open(&other)?];
        Ok(Some(Self { names: [first, second], stores, second_has_more }))
    }

    /// Compares what the two have of a namespace. What differs, or is lost, is a problem; what is not copied yet is none.
    async fn compare(
        &self,
        namespace: &Namespace,
        deep: bool,
        problems: &mut Vec<String>,
    ) -> Result<CopiesRow, Error> {
        let ([one, other], [first, second]) = (&self.stores, self.names);
        let report = compare_copies(&one.bucket, &other.bucket, namespace, deep).await?;
        let CopiesReport { alike, alike_bytes, only_in_first, only_in_second, differing } = report;
        problems.extend(differing.iter().map(|(path, how)| {
            let how = how.replace("the first", &format!("the {first}"));
            format!("{path} differs: {}", how.replace("the second", &format!("the {second}")))
        }));
        if !self.second_has_more {
            let lost = |path| format!("{path} is in the {second} store alone: the {first} one has lost it");
            problems.extend(only_in_second.iter().map(lost));
        }
        Ok(CopiesRow {
            first,
            second,
            alike,
            alike_bytes,
            only_in_first: only_in_first.len(),
            only_in_second: only_in_second.len(),
            differing: differing.len(),
        })
    }
}

fn show(
    namespace: &Namespace,
    report: &Report,
    drill: Option<Drill>,
    copies: Option<CopiesRow>,
    problems: Vec<String>,
    deep: bool,
    json: bool,
) -> anyhow::Result<()> {
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
            copies,
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
    if let Some(CopiesRow { first, second, alike, only_in_first, only_in_second, .. }) = copies {
        let alike = output::count(alike as u64, "object");
        text = format!(
            "{text}; copies: {alike} alike, {only_in_first} in the {first} store alone, {only_in_second} in the \
             {second} alone"
        );
    }
    output::line(text);
    for problem in problems {
        output::line(format!("  {problem}"));
    }
    Ok(())
}
