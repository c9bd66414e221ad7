//! `walkeep catalog namespace`: the records of namespaces, one by one. The logs in the store are not touched.

use clap::{Subcommand, ValueEnum};
use walkeep::Error;
use walkeep::core::Namespace;
use walkeep::core::catalog::{Catalog, Deleted, NamespaceChange, NamespaceSettings, NamespaceState};

use super::settings::{Setting, SettingsArgs};
use super::{CatalogArgs, ListArgs, list, open};
use crate::failure::Usage;
use crate::output;

#[derive(Debug, Subcommand)]
pub(crate) enum NamespaceCommand {
    /// Create the record of a namespace
    Create {
        /// The namespace
        #[arg(value_name = "NS")]
        namespace: Namespace,
        #[command(flatten)]
        settings: Box<SettingsArgs>,
        #[command(flatten)]
        at: CatalogArgs,
    },
    /// Show a namespace: its settings, who writes it, its followers and segments
    Show {
        /// The namespace
        #[arg(value_name = "NS")]
        namespace: Namespace,
        #[command(flatten)]
        at: CatalogArgs,
    },
    /// Change the settings or the state of a namespace; what is not named stays
    Set {
        /// The namespace
        #[arg(value_name = "NS")]
        namespace: Namespace,
        #[command(flatten)]
        settings: Box<SettingsArgs>,
        /// A setting to take away, so that it is the server's to choose; more than one with commas
        #[arg(long, value_name = "SETTING", value_enum, value_delimiter = ',')]
        unset: Vec<Setting>,
        /// Whether it is served; a tombstone stays one
        #[arg(long, value_enum)]
        state: Option<StateArg>,
        #[command(flatten)]
        at: CatalogArgs,
    },
    /// List the namespaces
    List(ListArgs),
    /// Delete all that the catalog holds of a namespace; its log in the store stays
    Delete {
        /// The namespace
        #[arg(value_name = "NS")]
        namespace: Namespace,
        /// Delete it although a node writes it
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        at: CatalogArgs,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StateArg {
    Active,
    Closed,
    Tombstone,
}

impl From<StateArg> for NamespaceState {
    fn from(arg: StateArg) -> Self {
        match arg {
            StateArg::Active => Self::Active,
            StateArg::Closed => Self::Closed,
            StateArg::Tombstone => Self::Tombstone,
        }
    }
}

pub(super) fn run(command: &NamespaceCommand, json: bool) -> anyhow::Result<()> {
    match command {
        NamespaceCommand::Create { namespace, settings, at } => {
            let mut wanted = NamespaceSettings::default();
            settings.apply(&mut wanted)?;
            let catalog = open::existing(&at.catalog)?;
            catalog.create_namespace(namespace, &wanted)?;
            list::show_in(&catalog, namespace, json)
        }
        NamespaceCommand::Show { namespace, at } => list::show(namespace, at, json),
        NamespaceCommand::Set { namespace, settings, unset, state, at } => {
            let catalog = open::existing(&at.catalog)?;
            let before = catalog.namespace(namespace)?;
            let mut wanted = before.settings.clone();
            unset.iter().for_each(|setting| setting.unset(&mut wanted));
            settings.apply(&mut wanted)?;
            if state.is_none() && wanted == before.settings {
                output::note(format!("note: {namespace} has these settings already"));
            }
            let state = state.map(NamespaceState::from);
            let change = NamespaceChange { settings: Some(wanted), state, log_id: None };
            catalog.update_namespace(namespace, &change)?;
            list::show_in(&catalog, namespace, json)
        }
        NamespaceCommand::List(args) => list::list(args, json),
        NamespaceCommand::Delete { namespace, force, at } => delete(namespace, *force, at, json),
    }
}

fn delete(namespace: &Namespace, force: bool, at: &CatalogArgs, json: bool) -> anyhow::Result<()> {
    let catalog = open::existing(&at.catalog)?;
    let writer = catalog.assignment(namespace)?.and_then(|assignment| assignment.node);
    if let Some(node) = writer.filter(|_| !force) {
        let what = format!(
            "node {node} writes {namespace}: release it first (`walkeep catalog release {namespace}`), or say --force"
        );
        return Err(Usage(what).into());
    }
    let deleted = catalog.delete_namespace(namespace)?;
    if !deleted.existed {
        return Err(Error::not_found(format!("namespace {:?} in the catalog", namespace.as_str())).into());
    }
    if json {
        return output::json(&deleted);
    }
    let Deleted { segments, groups, positions, .. } = deleted;
    output::line(format!(
        "{namespace} is deleted from the catalog, with {} of its registry, {} and {}",
        output::count(segments, "segment"),
        output::count(groups, "group"),
        output::count(positions, "position")
    ));
    output::note(format!(
        "note: its log in the store is not touched; `walkeep rm STORE {namespace}` deletes that"
    ));
    Ok(())
}
