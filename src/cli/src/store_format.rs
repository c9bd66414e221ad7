//! Whose format a store is read in: Walkeep's own, or that of libsql-wal.
//!
//! A store with clusters of libsql-wal and without namespaces of Walkeep's own is read as libsql-wal's, unless the
//! command line says otherwise.

use clap::{Args, ValueEnum};
use walkeep::backends::StoreUrl;
use walkeep::core::libsql::Cluster;
use walkeep::{Bucket, Error};

use crate::failure::Usage;
use crate::store::Store;

/// The format of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StoreFormat {
    /// Walkeep's own.
    Native,
    /// That of libsql-wal.
    Libsql,
}

/// How to read a store that may be one of libsql-wal.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct FormatArgs {
    /// Whose format the store is in; by default found out
    #[arg(long, value_enum)]
    pub(crate) format: Option<StoreFormat>,
    /// Of a bucket of libsql-wal: the cluster; by default the only one
    #[arg(long, value_name = "ID", value_parser = parse_cluster)]
    pub(crate) cluster: Option<Cluster>,
}

impl FormatArgs {
    /// Opens a store for reading, in its format.
    ///
    /// # Errors
    ///
    /// As [`Store::open`]; `Usage` when the cluster must be named.
    pub(crate) async fn open(&self, url: &StoreUrl) -> anyhow::Result<Store> {
        let store = Store::open(url)?;
        let libsql = match self.format {
            Some(StoreFormat::Native) if self.cluster.is_some() => {
                return Err(
                    Usage("--cluster is for buckets of libsql-wal, not for --format native".into()).into()
                );
            }
            Some(format) => format == StoreFormat::Libsql,
            None => self.cluster.is_some() || is_libsql(&store.bucket).await?,
        };
        if !libsql {
            return Ok(store);
        }
        let cluster = only_cluster(&store.bucket, self.cluster.as_ref()).await?;
        Ok(store.into_libsql(cluster))
    }
}

async fn is_libsql(bucket: &Bucket) -> Result<bool, Error> {
    Ok(!bucket.libsql_clusters().await?.is_empty() && bucket.namespaces().await? == (Vec::new(), 0))
}

/// The cluster that was named, or the only one of the bucket.
pub(crate) async fn only_cluster(bucket: &Bucket, named: Option<&Cluster>) -> anyhow::Result<Cluster> {
    if let Some(cluster) = named {
        return Ok(cluster.clone());
    }
    let clusters = bucket.libsql_clusters().await?;
    match &clusters[..] {
        [only] => Ok(only.clone()),
        [] => Err(Error::not_found("a cluster of libsql-wal (v2/clusters/…) in this store").into()),
        several => {
            let names = several.iter().take(10).map(Cluster::as_str).collect::<Vec<_>>().join(", ");
            Err(Usage(format!(
                "the bucket has {} clusters ({names}); choose one with --cluster",
                several.len()
            ))
            .into())
        }
    }
}

pub(crate) fn parse_cluster(text: &str) -> Result<Cluster, String> {
    Cluster::new(text).map_err(|error| error.to_string())
}
