//! `walkeep catalog assign`, `release`, `assignments` and `rebalance`: which node writes which namespace.
//!
//! An assignment is an agreement among nodes. What fences a writer is the epoch in the store, which a server claims when it
//! opens the namespace.

use clap::Args;
use serde::Serialize;
use walkeep::Error;
use walkeep::core::Namespace;
use walkeep::core::catalog::{Assignment, Catalog, Generation, Move, NamespaceState, NodeId, plan_rebalance};

use super::node::{DownArgs, statuses};
use super::{CatalogArgs, PAGE, open};
use crate::output;

#[derive(Debug, Args)]
pub(crate) struct AssignArgs {
    /// The namespace
    #[arg(value_name = "NS")]
    namespace: Namespace,
    /// The node that is to write it
    #[arg(value_name = "NODE")]
    node: NodeId,
    /// Only if its assignment is still in this generation; 0: if it was never assigned
    #[arg(long, value_name = "GENERATION")]
    over: Option<u64>,
    #[command(flatten)]
    at: CatalogArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ReleaseArgs {
    /// The namespace
    #[arg(value_name = "NS")]
    namespace: Namespace,
    /// Only if its assignment is still in this generation; by default in any
    #[arg(long, value_name = "GENERATION")]
    generation: Option<u64>,
    #[command(flatten)]
    at: CatalogArgs,
}

#[derive(Debug, Args)]
pub(crate) struct AssignmentsArgs {
    /// Only those of this node
    #[arg(long, value_name = "NODE")]
    node: Option<NodeId>,
    #[command(flatten)]
    at: CatalogArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RebalanceArgs {
    #[command(flatten)]
    down: DownArgs,
    /// Carry the plan out; by default it is only shown
    #[arg(long)]
    apply: bool,
    #[command(flatten)]
    at: CatalogArgs,
}

#[derive(Serialize)]
struct MoveRow<'a> {
    #[serde(flatten)]
    planned: &'a Move,
    /// The generation that it has with its new node; none of a plan.
    generation: Option<Generation>,
}

pub(super) fn assign(args: &AssignArgs, json: bool) -> anyhow::Result<()> {
    let catalog = open::existing(&args.at.catalog)?;
    show(&catalog.assign(&args.namespace, &args.node, args.over.map(Generation))?, json)
}

pub(super) fn release(args: &ReleaseArgs, json: bool) -> anyhow::Result<()> {
    let (catalog, namespace) = (open::existing(&args.at.catalog)?, &args.namespace);
    let generation = match args.generation {
        Some(generation) => Generation(generation),
        None => match catalog.assignment(namespace)? {
            Some(Assignment { node: Some(_), generation, .. }) => generation,
            _ => {
                let what = format!("an assignment of namespace {namespace} in the catalog");
                return Err(Error::not_found(what).into());
            }
        },
    };
    show(&catalog.release(namespace, generation)?, json)
}

pub(super) fn assignments(args: &AssignmentsArgs, json: bool) -> anyhow::Result<()> {
    let catalog = open::existing(&args.at.catalog)?;
    let Some(node) = &args.node else {
        return all(&catalog, |_| true)?.iter().try_for_each(|one| show(one, json));
    };
    // One that is unknown is a mistake, and not one without work.
    catalog.node(node)?;
    let mut after = None;
    loop {
        let page = catalog.assignments_of(node, after.as_ref(), PAGE)?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.namespace.clone());
        page.iter().try_for_each(|one| show(one, json))?;
    }
}

pub(super) fn rebalance(args: &RebalanceArgs, json: bool) -> anyhow::Result<()> {
    let catalog = open::existing(&args.at.catalog)?;
    // What is not served needs no node.
    let served = all(&catalog, |state| state == NamespaceState::Active)?;
    let moves = plan_rebalance(&statuses(&catalog, &args.down)?, &served)?;
    for planned in &moves {
        let Move { namespace, from, to, over } = planned;
        let done = if args.apply { Some(catalog.assign(namespace, to, Some(*over))?) } else { None };
        if json {
            output::json(&MoveRow { planned, generation: done.map(|done| done.generation) })?;
            continue;
        }
        let from = from.as_ref().map_or("nobody", NodeId::as_str);
        let done = done.map_or(String::new(), |done| format!(", now generation {}", done.generation));
        output::line(format!("{namespace:<32} {from} -> {to}, over generation {over}{done}"));
    }
    let count = output::count(moves.len() as u64, "namespace");
    match (moves.is_empty(), args.apply) {
        (true, _) => {
            output::note("every namespace that is served and was given to a node is with one that is up")
        }
        (false, true) => output::note(format!("{count} assigned")),
        (false, false) => output::note(format!("{count} to assign; --apply does it")),
    }
    Ok(())
}

/// The assignments of all namespaces in some states, also those that were released.
fn all(catalog: &dyn Catalog, of: impl Fn(NamespaceState) -> bool) -> walkeep::Result<Vec<Assignment>> {
    let (mut assignments, mut after) = (Vec::new(), None);
    loop {
        let page = catalog.namespaces("", after.as_ref(), PAGE)?;
        let Some(last) = page.last() else { return Ok(assignments) };
        after = Some(last.namespace.clone());
        for record in page.iter().filter(|record| of(record.state)) {
            assignments.extend(catalog.assignment(&record.namespace)?);
        }
    }
}

fn show(assignment: &Assignment, json: bool) -> anyhow::Result<()> {
    if json {
        return output::json(assignment);
    }
    let Assignment { namespace, node, generation, epoch, .. } = assignment;
    let node = node.as_ref().map_or("-", NodeId::as_str);
    let epoch = epoch.map_or(String::new(), |epoch| format!(", epoch {epoch}"));
    output::line(format!("{namespace:<32} {node:<24} generation {generation}{epoch}"));
    Ok(())
}
