//! How a daemon is watched: on the command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args};
use walkeep::backends::StoreUrl;
use walkeep::core::Namespace;

use crate::config::LogFormat;
use crate::quantity::parse_duration;
use crate::store::StoreParser;

/// How a daemon is watched.
#[derive(Debug, Args)]
pub(crate) struct ReportingArgs {
    /// Serve Prometheus metrics at http://ADDR/metrics; by default as the configuration file says
    #[arg(long, value_name = "ADDR", conflicts_with = "once")]
    pub(crate) metrics: Option<SocketAddr>,
    /// The form of log lines and notes on stderr; by default as the configuration file says, or text
    #[arg(long, value_enum, conflicts_with = "once")]
    pub(crate) log_format: Option<LogFormat>,
}

/// What to look at.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").args(["database", "config", "store"]).required(true).multiple(true)))]
pub(crate) struct StatusArgs {
    /// A database that is replicated on this machine
    #[arg(value_name = "DB")]
    pub(crate) database: Option<PathBuf>,
    /// Look at all databases of a configuration file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["database", "store"])]
    pub(crate) config: Option<PathBuf>,
    /// Look into this store too; without DB into it alone, from any machine
    #[arg(long, value_name = "STORE", value_parser = StoreParser)]
    pub(crate) store: Option<StoreUrl>,
    /// The namespace in the store; by default that of the database, or all
    #[arg(short, long, value_name = "NS", requires = "store")]
    pub(crate) namespace: Option<Namespace>,
    /// Where local state is kept; by default .NAME-walkeep beside the database
    #[arg(long, value_name = "DIR", requires = "database")]
    pub(crate) state_dir: Option<PathBuf>,
    /// End with exit code 9 if a commit waits for longer than this, or if nobody replicates a database: seconds, or
    /// with ms, s, m or h
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) max_lag: Option<Duration>,
}
