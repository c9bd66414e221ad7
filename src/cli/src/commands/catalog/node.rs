//! `walkeep catalog node`: the processes that serve namespaces.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;
use walkeep::core::UnixMillis;
use walkeep::core::catalog::{Catalog, Node, NodeId, NodeStatus};
use walkeep::{Error, Handles};

use super::{CatalogArgs, PAGE, open};
use crate::output;
use crate::quantity::parse_duration;

/// When a node counts as down.
#[derive(Debug, Args)]
pub(crate) struct DownArgs {
    /// A node that was not heard of for longer is down
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    pub(super) down_after: Duration,
}

/// A node of a catalog.
#[derive(Debug, Args)]
pub(crate) struct NodeArgs {
    /// The node
    #[arg(value_name = "NODE")]
    node: NodeId,
    #[command(flatten)]
    down: DownArgs,
    #[command(flatten)]
    at: CatalogArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum NodeCommand {
    /// Register a node, or the same node when it starts anew
    Register {
        /// Where others reach it, as they understand it
        #[arg(long, value_name = "TEXT")]
        address: String,
        /// Something to say about it; may be repeated
        #[arg(long = "label", value_name = "NAME=TEXT", value_parser = parse_label)]
        labels: Vec<(String, String)>,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Note that a node was heard of
    Heartbeat(NodeArgs),
    /// Give a node no more work
    Drain {
        /// Give it work again
        #[arg(long)]
        undo: bool,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Show a node
    Show(NodeArgs),
    /// List the nodes
    List {
        #[command(flatten)]
        down: DownArgs,
        #[command(flatten)]
        at: CatalogArgs,
    },
    /// Remove a node that has no namespace
    Remove {
        /// The node
        #[arg(value_name = "NODE")]
        node: NodeId,
        #[command(flatten)]
        at: CatalogArgs,
    },
}

#[derive(Serialize)]
struct Row<'a> {
    #[serde(flatten)]
    node: &'a Node,
    status: NodeStatus,
    namespaces: usize,
}

pub(super) fn run(command: &NodeCommand, json: bool) -> anyhow::Result<()> {
    match command {
        NodeCommand::Register { address, labels, node } => {
            let labels = labels.iter().cloned().collect::<BTreeMap<_, _>>();
            changed(node, json, |catalog| catalog.register_node(&node.node, address, &labels))
        }
        NodeCommand::Heartbeat(node) => changed(node, json, |catalog| catalog.heartbeat(&node.node)),
        NodeCommand::Drain { undo, node } => {
            changed(node, json, |catalog| catalog.set_draining(&node.node, !undo))
        }
        NodeCommand::Show(node) => changed(node, json, |catalog| catalog.node(&node.node)),
        NodeCommand::List { down, at } => {
            let catalog = open::existing(&at.catalog)?;
            all(&catalog)?.iter().try_for_each(|node| show(&catalog, node, down, json))
        }
        NodeCommand::Remove { node, at } => {
            let catalog = open::existing(&at.catalog)?;
            if !catalog.remove_node(node)? {
                return Err(Error::not_found(format!("node {node} in the catalog")).into());
            }
            output::note(format!("node {node} is removed"));
            Ok(())
        }
    }
}

/// Does something with a node, and shows what it is then.
fn changed(
    args: &NodeArgs,
    json: bool,
    change: impl FnOnce(&dyn Catalog) -> walkeep::Result<Node>,
) -> anyhow::Result<()> {
    let catalog = open::existing(&args.at.catalog)?;
    show(&catalog, &change(&catalog)?, &args.down, json)
}

/// All nodes of a catalog.
fn all(catalog: &dyn Catalog) -> walkeep::Result<Vec<Node>> {
    let mut nodes = Vec::<Node>::new();
    loop {
        let page = catalog.nodes(nodes.last().map(|node| &node.id), PAGE)?;
        if page.is_empty() {
            return Ok(nodes);
        }
        nodes.extend(page);
    }
}

/// All nodes of a catalog, with their status now.
pub(super) fn statuses(
    catalog: &dyn Catalog,
    down: &DownArgs,
) -> walkeep::Result<BTreeMap<NodeId, NodeStatus>> {
    let now = Handles::system().clock.now();
    let status = |node: Node| (node.id.clone(), node.status(now, down.down_after));
    Ok(all(catalog)?.into_iter().map(status).collect())
}

fn show(catalog: &dyn Catalog, node: &Node, down: &DownArgs, json: bool) -> anyhow::Result<()> {
    let now: UnixMillis = Handles::system().clock.now();
    let row = Row {
        node,
        status: node.status(now, down.down_after),
        namespaces: catalog.assignments_of(&node.id, None, usize::MAX)?.len(),
    };
    if json {
        return output::json(&row);
    }
    let labels = node.labels.iter().map(|(name, text)| format!(" {name}={text}")).collect::<String>();
    output::line(format!(
        "{:<24} {:<9} {:<24} {}, heard of {}{labels}",
        node.id,
        row.status,
        node.address,
        output::count(row.namespaces as u64, "namespace"),
        node.heartbeat
    ));
    Ok(())
}

fn parse_label(text: &str) -> Result<(String, String), String> {
    let split = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, text) = split.ok_or_else(|| "a label is NAME=TEXT, such as zone=eu-1".to_string())?;
    Ok((name.to_string(), text.to_string()))
}
