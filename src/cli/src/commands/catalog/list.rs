//! `walkeep catalog list` and `show`, and how a namespace and a group look.

use serde::Serialize;
use walkeep::core::catalog::{Assignment, Catalog, FollowerGroup, FollowerPosition, NamespaceRecord, NodeId};
use walkeep::core::{FrameNo, Namespace};

use super::{CatalogArgs, ListArgs, PAGE, open};
use crate::output;

#[derive(Serialize)]
struct Row<'a> {
    #[serde(flatten)]
    record: &'a NamespaceRecord,
    node: Option<&'a NodeId>,
}

pub(super) fn list(args: &ListArgs, json: bool) -> anyhow::Result<()> {
    let catalog = open::existing(&args.at.catalog)?;
    let (mut after, mut left) = (args.after.clone(), args.limit.unwrap_or(usize::MAX));
    loop {
        let page = catalog.namespaces(&args.prefix, after.as_ref(), left.min(PAGE))?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.namespace.clone());
        left = left.saturating_sub(page.len());
        for record in &page {
            let assignment = catalog.assignment(&record.namespace)?;
            let node = assignment.as_ref().and_then(|assignment| assignment.node.as_ref());
            if json {
                output::json(&Row { record, node })?;
            } else {
                let node = node.map_or("-", NodeId::as_str);
                output::line(format!("{:<32} {:<10} {node}", record.namespace, record.state));
            }
        }
    }
}

/// A group and its members.
#[derive(Serialize)]
pub(super) struct Group {
    #[serde(flatten)]
    group: FollowerGroup,
    positions: Vec<FollowerPosition>,
}

#[derive(Default, Serialize)]
struct Segments {
    count: u64,
    bytes: u64,
    newest: Option<FrameNo>,
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    record: &'a NamespaceRecord,
    assignment: Option<Assignment>,
    groups: Vec<Group>,
    segments: Segments,
}

pub(super) fn show(namespace: &Namespace, at: &CatalogArgs, json: bool) -> anyhow::Result<()> {
    show_in(&open::existing(&at.catalog)?, namespace, json)
}

/// Shows a namespace of a catalog that is open.
pub(super) fn show_in(catalog: &dyn Catalog, namespace: &Namespace, json: bool) -> anyhow::Result<()> {
    let record = catalog.namespace(namespace)?;
    let groups = catalog.groups(namespace, None, usize::MAX)?.into_iter().map(|found| group(catalog, found));
    let groups = groups.collect::<walkeep::Result<Vec<_>>>()?;
    let (assignment, segments) = (catalog.assignment(namespace)?, segments(catalog, namespace)?);
    let document = Document { record: &record, assignment, groups, segments };
    if json {
        return output::json(&document);
    }
    write(&document)
}

/// A group with the positions of its members.
pub(super) fn group(catalog: &dyn Catalog, group: FollowerGroup) -> walkeep::Result<Group> {
    let positions = catalog.positions(&group.namespace, &group.group, None, usize::MAX)?;
    Ok(Group { group, positions })
}

/// Writes a group and its members, set in by `indent`.
pub(super) fn write_group(group: &Group, indent: &str, json: bool) -> anyhow::Result<()> {
    if json {
        return output::json(group);
    }
    let Group { group, positions } = group;
    let members = output::count(positions.len() as u64, "member");
    output::line(format!("{indent}group {}: {members}", group.group));
    for FollowerPosition { member, frame_no, updated, .. } in positions {
        output::line(format!("{indent}  {member}: frame {frame_no} of {updated}"));
    }
    Ok(())
}

fn segments(catalog: &dyn Catalog, namespace: &Namespace) -> walkeep::Result<Segments> {
    let (mut segments, mut after) = (Segments::default(), None);
    loop {
        let page = catalog.segments(namespace, after.as_ref(), PAGE)?;
        let Some(last) = page.last() else { return Ok(segments) };
        after = Some(last.key);
        segments.newest = segments.newest.or(page.first().map(|first| first.key.end()));
        segments.count += page.len() as u64;
        segments.bytes += page.iter().map(|segment| segment.size).sum::<u64>();
    }
}

fn write(document: &Document<'_>) -> anyhow::Result<()> {
    let Document { record, assignment, groups, segments } = document;
    let NamespaceRecord { namespace, state, settings, log_id, created, updated } = record;
    output::line(format!("{namespace}: {state}, created {created}, changed {updated}"));
    if let Some(log_id) = log_id {
        output::line(format!("  log {log_id}"));
    }
    let settings = [
        settings.page_size.map(|size| format!("pages of {}", size.bytes())),
        settings.retention.as_ref().map(|retention| format!("keeps {retention}")),
        (!settings.quota.is_unlimited()).then(|| settings.quota.to_string()),
        settings.seal.as_ref().map(|seal| format!("sealed by {seal:?}")),
        settings.store.as_ref().map(|store| format!("stored in {store}")),
    ];
    for setting in settings.into_iter().flatten() {
        output::line(format!("  {setting}"));
    }
    if let Some(Assignment { node, generation, epoch, .. }) = assignment {
        let node = node.as_ref().map_or("nobody".into(), |node| format!("node {node}"));
        let epoch = epoch.map_or(String::new(), |epoch| format!(", epoch {epoch}"));
        output::line(format!("  written by {node}: generation {generation}{epoch}"));
    }
    let newest = segments.newest.map_or(String::new(), |end| format!(", up to frame {end}"));
    let count = output::count(segments.count, "segment");
    output::line(format!("  {count} of {} when last listed{newest}", output::bytes(segments.bytes)));
    groups.iter().try_for_each(|group| write_group(group, "  ", false))
}
