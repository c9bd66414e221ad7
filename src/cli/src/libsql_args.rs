//! The command lines of `walkeep import libsql` and `walkeep export libsql`.

use std::path::PathBuf;

use clap::Args;
use walkeep::backends::StoreUrl;
use walkeep::core::Namespace;
use walkeep::core::libsql::Cluster;

use crate::args::{NAMESPACE_VARIABLE, StoreArgs};
use crate::store::StoreParser;
use crate::store_format::parse_cluster;

#[derive(Debug, Args)]
pub(crate) struct IntoArgs {
    /// The store to write to, created if it is new
    #[arg(long, value_name = "STORE2", value_parser = StoreParser)]
    pub(crate) into: StoreUrl,
}

#[derive(Debug, Args)]
pub(crate) struct ImportLibsqlArgs {
    /// The bucket of libsql-wal; may be left out with --seg-dir
    #[arg(value_name = "STORE", value_parser = StoreParser)]
    pub(crate) store: Option<StoreUrl>,
    /// The cluster; by default the only one
    #[arg(long, value_name = "ID", value_parser = parse_cluster, requires = "store")]
    pub(crate) cluster: Option<Cluster>,
    /// The namespace; by default the only one of the cluster
    #[arg(short, long, value_name = "NS")]
    pub(crate) namespace: Option<Namespace>,
    #[command(flatten)]
    pub(crate) into: IntoArgs,
    /// The namespace to write; by default of the same name
    #[arg(long = "as", value_name = "NS2")]
    pub(crate) as_namespace: Option<Namespace>,
    /// A directory with local segment files (*.seg), which go on behind the bucket or stand alone; only read
    #[arg(long, value_name = "DIR")]
    pub(crate) seg_dir: Option<PathBuf>,
    /// The checkpointed database that the local segment files go on from, if they do not begin at frame 1; only read
    #[arg(long, value_name = "FILE", requires = "seg_dir")]
    pub(crate) db: Option<PathBuf>,
    /// Use a store that cannot tell two writers apart: of two at once, one loses what it was told is stored
    #[arg(long)]
    pub(crate) unfenced: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExportLibsqlArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// The namespace; by default the only one of the store
    #[arg(short, long, value_name = "NS", env = NAMESPACE_VARIABLE)]
    pub(crate) namespace: Option<Namespace>,
    #[command(flatten)]
    pub(crate) into: IntoArgs,
    /// The cluster to write to
    #[arg(long, value_name = "ID", value_parser = parse_cluster)]
    pub(crate) cluster: Cluster,
}
