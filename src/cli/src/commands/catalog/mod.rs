//! `walkeep catalog`: the metadata of a server of many databases.

mod assign;
mod copies;
mod group;
mod list;
mod namespace;
mod node;
mod open;
mod settings;
mod sync;
mod transfer;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use walkeep::Error;
use walkeep::core::Namespace;
use walkeep::core::shards::ShardCount;

use self::assign::{AssignArgs, AssignmentsArgs, RebalanceArgs, ReleaseArgs};
use self::group::GroupCommand;
use self::namespace::NamespaceCommand;
use self::node::NodeCommand;
use self::sync::SyncArgs;
use super::shrink;
use crate::args::StoreArgs;
use crate::output;

/// How many records are read at once.
const PAGE: usize = 1000;

/// Where the catalog is.
#[derive(Debug, Args)]
pub(crate) struct CatalogArgs {
    /// The directory of the catalog
    #[arg(long, value_name = "PATH", env = "WALKEEP_CATALOG")]
    pub(crate) catalog: PathBuf,
}

/// Where the catalog is, or is to be.
#[derive(Debug, Args)]
pub(crate) struct NewCatalogArgs {
    #[command(flatten)]
    pub(crate) catalog: CatalogArgs,
    /// How many shards a new catalog gets: 1 to 256, a power of two; an existing one must have that number
    #[arg(long, value_name = "N")]
    pub(crate) shards: Option<ShardCount>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CatalogCommand {
    /// Make a catalog, bind it to a store, and make its first copies there
    Init {
        #[command(flatten)]
        store: StoreArgs,
        #[command(flatten)]
        at: NewCatalogArgs,
    },
    /// Copy into the store what has changed since the last copy
    Copy {
        #[command(flatten)]
        store: StoreArgs,
        #[command(flatten)]
        at: CatalogArgs,
    },
    /// Make a catalog that was lost whole again, from its copies in the store
    Restore {
        #[command(flatten)]
        store: StoreArgs,
        #[command(flatten)]
        at: NewCatalogArgs,
    },
    /// Make the segments that the catalog lists say what the store says
    Sync(SyncArgs),
    /// List the namespaces
    List(ListArgs),
    /// Show a namespace: its settings, who writes it, its followers and segments
    Show {
        /// The namespace
        #[arg(value_name = "NS")]
        namespace: Namespace,
        #[command(flatten)]
        at: CatalogArgs,
    },
    /// Create, show, change, list or delete the record of a namespace
    #[command(subcommand)]
    Namespace(NamespaceCommand),
    /// Register, hear of, drain, show, list or remove nodes
    #[command(subcommand)]
    Node(NodeCommand),
    /// Create, show, list or delete groups of followers, and the positions of their members
    #[command(subcommand)]
    Group(GroupCommand),
    /// Give a namespace to a node
    Assign(AssignArgs),
    /// Take a namespace back from its node
    Release(ReleaseArgs),
    /// List which node writes which namespace
    Assignments(AssignmentsArgs),
    /// Say where the namespaces go of nodes that are down, draining or gone
    Rebalance(RebalanceArgs),
    /// Write all records as lines of JSON
    Export {
        #[command(flatten)]
        at: CatalogArgs,
    },
    /// Put the records of an export into a catalog; those that are there already must be the same
    Import {
        /// The export; - reads standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        at: NewCatalogArgs,
        /// Say what would be done, and do nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Give the unused space of a catalog back to the file system
    #[command(alias = "compact")]
    Shrink {
        #[command(flatten)]
        at: CatalogArgs,
    },
    /// Give a catalog that is not open another number of shards
    Reshard {
        #[command(flatten)]
        at: CatalogArgs,
        /// How many shards: 1 to 256, a power of two
        #[arg(long, value_name = "N")]
        shards: ShardCount,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pub(crate) at: CatalogArgs,
    /// Only those whose names begin like this
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) prefix: String,
    /// Only those whose names come behind this one
    #[arg(long, value_name = "NS")]
    pub(crate) after: Option<Namespace>,
    /// At most this many
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
}

pub(super) async fn run(command: CatalogCommand, json: bool) -> anyhow::Result<()> {
    let outcome = match command {
        CatalogCommand::Init { store, at } => copies::init(&store, &at, json).await,
        CatalogCommand::Copy { store, at } => copies::copy(&store, &at, json).await,
        CatalogCommand::Restore { store, at } => copies::restore(&store, &at, json).await,
        CatalogCommand::Sync(args) => sync::sync(&args, json).await,
        CatalogCommand::List(args) => list::list(&args, json),
        CatalogCommand::Show { namespace, at } => list::show(&namespace, &at, json),
        CatalogCommand::Namespace(command) => namespace::run(&command, json),
        CatalogCommand::Node(command) => node::run(&command, json),
        CatalogCommand::Group(command) => group::run(&command, json),
        CatalogCommand::Assign(args) => assign::assign(&args, json),
        CatalogCommand::Release(args) => assign::release(&args, json),
        CatalogCommand::Assignments(args) => assign::assignments(&args, json),
        CatalogCommand::Rebalance(args) => assign::rebalance(&args, json),
        CatalogCommand::Export { at } => transfer::export(&at),
        CatalogCommand::Import { file, at, dry_run } => transfer::import(&file, &at, dry_run, json),
        CatalogCommand::Shrink { at } => {
            let shrunk = open::existing(&at.catalog)?.compact()?;
            shrink::show(&at.catalog.display(), shrunk, json)
        }
        CatalogCommand::Reshard { at, shards } => transfer::reshard(&at, shards, json),
    };
    if let Err(error) = &outcome
        && error.chain().any(|cause| is_damaged_catalog(cause.downcast_ref()))
    {
        output::note_beside_failure(
            "the catalog is damaged: move its directory away, and `walkeep catalog restore` makes it whole again from \
             its copies in the store",
        );
    }
    outcome
}

/// Whether an error is about a catalog's own files, and not about something in the store.
fn is_damaged_catalog(error: Option<&Error>) -> bool {
    let Some(Error::Corrupt(damage)) = error else { return false };
    damage.object.starts_with("catalog table ") || damage.object.ends_with(".redb")
}
