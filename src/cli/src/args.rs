//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use walkeep::backends::StoreUrl;
use walkeep::core::{FrameNo, Namespace, PinName};
use walkeep_sqlite::IntegrityCheck;

use crate::commands::{
    CHANGES_NOTES, COMPACT_NOTES, CatalogCommand, ChangesArgs, CompactArgs, DetachArgs, FollowersArgs,
    ForkArgs, FreezeArgs, GcArgs, InspectArgs, PinArgs, PinsArgs, RetainArgs, RmArgs, ShrinkArgs, SyncArgs,
    UnpinArgs,
};
use crate::libsql_args::{ExportLibsqlArgs, ImportLibsqlArgs};
use crate::quantity::{parse_duration, parse_size};
use crate::reporting_args::{ReportingArgs, StatusArgs};
use crate::store::StoreParser;
use crate::store_format::FormatArgs;
use crate::time_arg::{self, TimeArg};

const EXAMPLES: &str = "\
Examples:
  walkeep demo                                        see what it does, in a temporary directory
  walkeep replicate app.db ./store                    store every commit, until it is stopped
  walkeep replicate app.db ./store --once             store the database as it is now
  walkeep log ./store -n app                          list the restore points
  walkeep restore ./store -n app -o old.db --at -5m   the database as it was five minutes ago
  walkeep verify ./store --deep                       prove that everything stored can be restored

Exit codes:
  0 done                      5 fenced: another writer has taken over
  1 another failure           6 store unavailable
  2 usage, name, config file  7 refused to overwrite
  3 restore point, namespace  8 outcome unknown
    or range unreachable      9 lag over --max-lag
  4 corruption found          10 command of --exec failed

STORE is a path, file:///path, redb:///path, or in an object store s3://BUCKET/PREFIX, gs://… or az://…; `walkeep ls
--help` lists their settings. WALKEEP_STORE and WALKEEP_NAMESPACE stand in for STORE and -n.";

fn store_help() -> String {
    format!("STORE is {}", StoreUrl::help())
}

const REPLICA: &str = "\
OUT is never changed, but replaced by the next version, whole and proven. A program that has it open keeps the state that
it opened, for as long as it likes; one that opens it again sees the newest. So open it anew for each piece of work, read
only: what is written to it is lost, and while a -wal, -shm or -journal file lies beside OUT, this command refuses to go on (exit 7).
Of a database in WAL mode, OUT is in rollback mode: bytes 18 and 19 differ from a restored file, so that reading makes no files.

While nothing is stored, a look costs two requests (listings of a few names). Each new version costs a copy of the whole
file, and reading it: there must be room for two. It runs until SIGTERM or SIGINT, and waits for a store that is away.";

fn replica_help() -> String {
    format!("{REPLICA}\n\n{}", store_help())
}

/// Keeps a database's write-ahead log, and gives the database back as it was at any commit.
#[derive(Debug, Parser)]
#[command(name = "walkeep", version, after_help = EXAMPLES, max_term_width = 100, disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// Write JSON: one document, or one a line for lists; errors too, on stderr
    #[arg(long, global = true)]
    pub(crate) json: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what Walkeep does: replicate a small shop's database, make a mistake, and undo it
    Demo(DemoArgs),
    /// Store every transaction of a live SQLite database, until it is stopped; or its state, once
    #[command(after_help = store_help())]
    Replicate(ReplicateArgs),
    /// Write the database as it was at a restore point, proven
    #[command(after_help = store_help())]
    Restore(RestoreArgs),
    /// Keep a copy of the newest state of a database, for programs that only read it
    #[command(after_help = replica_help())]
    Replica(ReplicaArgs),
    /// List the namespaces of a store
    #[command(after_help = store_help())]
    Ls(LsArgs),
    /// List the commits of a namespace, newest first
    #[command(after_help = store_help())]
    Log(LogArgs),
    /// List the stored segments of a namespace, newest first
    #[command(after_help = store_help())]
    Segments(NamespaceArgs),
    /// Show one stored segment
    #[command(after_help = store_help())]
    Inspect(InspectArgs),
    /// Merge stored segments into fewer, so that restores stay fast
    #[command(after_help = format!("{COMPACT_NOTES}\n\n{}", store_help()))]
    Compact(CompactArgs),
    /// Check what is stored
    #[command(after_help = store_help())]
    Verify(VerifyArgs),
    /// Make a namespace of a restore point of another, at once and without a copy
    #[command(after_help = store_help())]
    Fork(ForkArgs),
    /// Show which restore points are kept, or set that: every commit near, thinner far
    #[command(after_help = store_help())]
    Retain(RetainArgs),
    /// Drop what retention no longer keeps, and delete what nothing needs
    #[command(after_help = store_help())]
    Gc(GcArgs),
    /// Give a restore point a name, under which it is kept
    #[command(after_help = store_help())]
    Pin(PinArgs),
    /// Take the name of a restore point away
    #[command(after_help = store_help())]
    Unpin(UnpinArgs),
    /// List the pins of a namespace
    #[command(after_help = store_help())]
    Pins(PinsArgs),
    /// List who follows the log of a namespace, and how far each has come; or change that
    #[command(after_help = store_help())]
    Followers(FollowersArgs),
    /// Write the next commits behind the position of a follower, one JSON document a line
    #[command(after_help = format!("{CHANGES_NOTES}\n\n{}", store_help()))]
    Changes(ChangesArgs),
    /// Give a fork a copy of what it shares, so that it stands alone
    #[command(after_help = store_help())]
    Detach(DetachArgs),
    /// Delete a namespace
    #[command(after_help = store_help())]
    Rm(RmArgs),
    /// Make a namespace read only
    #[command(after_help = store_help())]
    Freeze(FreezeArgs),
    /// Make a frozen namespace writable again
    #[command(after_help = store_help())]
    Thaw(FreezeArgs),
    /// Copy what another program stored into a store
    #[command(subcommand)]
    Import(Import),
    /// Write what is stored in the form of another program
    #[command(subcommand)]
    Export(Export),
    /// Show where replication stands: what is captured, what is stored, and how far behind it is
    #[command(after_help = store_help())]
    Status(StatusArgs),
    /// Copy what the second store of a mirror lacks, or the remote one of a tiered store
    #[command(after_help = store_help())]
    Sync(SyncArgs),
    /// Give the space of deleted objects of a redb:///path store back to the file system
    #[command(after_help = store_help())]
    Shrink(ShrinkArgs),
    /// Keep the metadata of a server of many databases: namespaces, owners, followers' positions
    #[command(subcommand, after_help = store_help())]
    Catalog(CatalogCommand),
    /// Look at a configuration file
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Write completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show what `walkeep replicate --config FILE` would replicate now, or all that is wrong with the file
    Check {
        /// The configuration file
        file: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Import {
    /// A namespace of libsql-wal, with all its restore points: a bucket, local segment files, or both
    #[command(after_help = store_help())]
    Libsql(ImportLibsqlArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Export {
    /// A namespace as segments that libsql-wal reads: one for each stored segment
    #[command(after_help = store_help())]
    Libsql(ExportLibsqlArgs),
}

/// Stands in for `-n`.
pub(crate) const NAMESPACE_VARIABLE: &str = "WALKEEP_NAMESPACE";

#[derive(Debug, Args)]
pub(crate) struct StoreArgs {
    /// Where segments are kept: a path, or the address of an object store, see below
    #[arg(value_name = "STORE", env = "WALKEEP_STORE", hide_env_values = true, value_parser = StoreParser)]
    pub(crate) store: StoreUrl,
}

#[derive(Debug, Args)]
pub(crate) struct NamespaceArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
    /// The namespace; by default the only one of the store
    #[arg(short, long, value_name = "NS", env = NAMESPACE_VARIABLE)]
    pub(crate) namespace: Option<Namespace>,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Keep the demo's files and say where they are
    #[arg(long)]
    pub(crate) keep: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ReplicateArgs {
    /// The SQLite database
    #[arg(value_name = "DB", required_unless_present = "config")]
    pub(crate) database: Option<PathBuf>,
    /// Where segments are kept: a path, or the address of an object store, see below
    #[arg(value_name = "STORE", env = "WALKEEP_STORE", hide_env_values = true, value_parser = StoreParser, required_unless_present = "config")]
    pub(crate) store: Option<StoreUrl>,
    /// Replicate the databases that a configuration file names, instead
    #[arg(long, value_name = "FILE", conflicts_with_all = ["database", "once", "unfenced", "busy_timeout", "ContinuousArgs"])]
    pub(crate) config: Option<PathBuf>,
    /// The namespace; by default the database's file name without its extension
    #[arg(short, long, value_name = "NS", env = NAMESPACE_VARIABLE)]
    pub(crate) namespace: Option<Namespace>,
    /// Capture the database once, as it is now, and end
    #[arg(long, conflicts_with = "ContinuousArgs")]
    pub(crate) once: bool,
    /// How long to wait while another process has the database locked: seconds, or with ms, s, m or h
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    pub(crate) busy_timeout: Duration,
    /// Use a store that cannot tell two writers apart: of two at once, one loses what it was told is stored
    #[arg(long)]
    pub(crate) unfenced: bool,
    #[command(flatten)]
    pub(crate) continuous: ContinuousArgs,
    #[command(flatten)]
    pub(crate) reporting: ReportingArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ContinuousArgs {
    /// How long commits are gathered for one request; 0: each commit as it is seen
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_duration)]
    pub(crate) sync_interval: Duration,
    /// The length of the write-ahead log from which it is checkpointed: bytes, or with K, M, G or T
    #[arg(long, value_name = "SIZE", default_value = "4M", value_parser = parse_size)]
    pub(crate) checkpoint: u64,
    /// How much of the log one stored segment holds at most, if it has several transactions
    #[arg(long, value_name = "SIZE", default_value = "64M", value_parser = parse_size)]
    pub(crate) seal: u64,
    /// How much may wait on local disk for the store
    #[arg(long, value_name = "SIZE", default_value = "1G", value_parser = parse_size)]
    pub(crate) spool_max: u64,
    /// How often to look although nothing was heard
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    pub(crate) poll_interval: Duration,
    /// Where local state is kept; by default .NAME-walkeep beside the database
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Leave stored segments as they are; by default they are merged in the background, so that restores stay fast
    #[arg(long)]
    pub(crate) no_compact: bool,
    /// Go on although the database does not continue the newest state: what differs is stored as one commit on top
    #[arg(long)]
    pub(crate) rewind: bool,
    /// Switch the database to WAL mode, once and for good, if it is not in it
    #[arg(long)]
    pub(crate) set_wal: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    #[command(flatten)]
    pub(crate) from: NamespaceArgs,
    /// The file to write
    #[arg(short, long, value_name = "OUT", required_unless_present = "dry_run")]
    pub(crate) output: Option<PathBuf>,
    /// Restore the last commit at or before this time: RFC 3339, local time, or relative (-5m)
    #[arg(long, value_name = "TIME", value_parser = time_arg::parse, conflicts_with = "frame", allow_hyphen_values = true)]
    pub(crate) at: Option<TimeArg>,
    /// Restore the commit that ends with this frame
    #[arg(long, value_name = "N", value_parser = parse_frame)]
    pub(crate) frame: Option<FrameNo>,
    /// Restore a pinned restore point
    #[arg(long, value_name = "NAME", conflicts_with_all = ["at", "frame"])]
    pub(crate) pin: Option<PinName>,
    /// Only say what would be read and written
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Replace the file, and remove -wal, -shm and -journal files beside it
    #[arg(long)]
    pub(crate) force: bool,
    /// How SQLite looks at the restored file before it is put in place
    #[arg(long, value_enum, default_value_t = CheckArg::Quick)]
    pub(crate) integrity_check: CheckArg,
    /// Refuse databases larger than this: bytes, or with K, M, G or T
    #[arg(long, value_name = "SIZE", default_value = "1T", value_parser = parse_size)]
    pub(crate) max_db_size: u64,
}

#[derive(Debug, Args)]
pub(crate) struct ReplicaArgs {
    #[command(flatten)]
    pub(crate) from: NamespaceArgs,
    /// The file to keep up to date; OUT.walkeep beside it says what it is
    #[arg(short, long, value_name = "OUT")]
    pub(crate) output: PathBuf,
    /// How long to wait between two looks at the store; at least 50ms
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_poll)]
    pub(crate) poll: Duration,
    /// End when the newest commit is applied
    #[arg(long)]
    pub(crate) until_caught_up: bool,
    /// Replace a file that is no replica of this namespace, and remove -wal, -shm and -journal files beside it
    #[arg(long)]
    pub(crate) force: bool,
    /// Refuse databases larger than this: bytes, or with K, M, G or T
    #[arg(long, value_name = "SIZE", default_value = "1T", value_parser = parse_size)]
    pub(crate) max_db_size: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CheckArg {
    None,
    Quick,
    Full,
}

impl From<CheckArg> for IntegrityCheck {
    fn from(arg: CheckArg) -> Self {
        match arg {
            CheckArg::None => Self::None,
            CheckArg::Quick => Self::Quick,
            CheckArg::Full => Self::Full,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    #[command(flatten)]
    pub(crate) from: NamespaceArgs,
    /// Only commits at or after this time
    #[arg(long, value_name = "TIME", value_parser = time_arg::parse, allow_hyphen_values = true)]
    pub(crate) since: Option<TimeArg>,
    /// Only commits at or before this time
    #[arg(long, value_name = "TIME", value_parser = time_arg::parse, allow_hyphen_values = true)]
    pub(crate) until: Option<TimeArg>,
    /// At most this many commits
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// Say of each why it is kept: with all of its time, by retention, or by a pin
    #[arg(long)]
    pub(crate) points: bool,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
    /// The namespace; by default all
    #[arg(short, long, value_name = "NS", env = NAMESPACE_VARIABLE)]
    pub(crate) namespace: Option<Namespace>,
    /// Read everything: every block, every page hash, and the state of the database at every commit
    #[arg(long)]
    pub(crate) deep: bool,
    /// The same, but only what was not proven before; what is proven now is written down in the store
    #[arg(long, conflicts_with = "deep")]
    pub(crate) since_last: bool,
    /// Restore a random restore point to nowhere as well, and write down in the store that it could be done
    #[arg(long)]
    pub(crate) restore_drill: bool,
}

pub(crate) fn parse_frame(text: &str) -> Result<FrameNo, String> {
    text.parse().ok().and_then(FrameNo::new).ok_or_else(|| "a frame number is at least 1".to_string())
}

pub(crate) fn parse_poll(text: &str) -> Result<Duration, String> {
    let poll = parse_duration(text)?;
    if poll < Duration::from_millis(50) {
        return Err("it must be at least 50ms".into());
    }
    Ok(poll)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
