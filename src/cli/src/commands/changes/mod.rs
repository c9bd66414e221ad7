//! `walkeep changes STORE`: the commits behind a follower's position, for programs.
//!
//! Invariant: a commit is acknowledged only after it was delivered: its line is written, or the command that got it has
//! ended well. So each is delivered at least once.

mod delivery;
mod rows;

use std::time::Duration;

use clap::Args;
use walkeep::core::{FrameNo, GroupName, MemberName, Namespace};
use walkeep::followers::{Followers, Patience, Poll, wait_beyond};
use walkeep::{Error, Handles};

use self::delivery::Delivery;
use self::rows::Rows;
use super::only_namespace;
use crate::args::{NAMESPACE_VARIABLE, StoreArgs, parse_poll};
use crate::output;
use crate::signals::Signals;
use crate::store::Store;

/// What stands below the help.
pub(crate) const NOTES: &str = "\
Each line is a commit: namespace, frame_no, first_frame, frames, time, time_ms, kind, pages (the size of the database), page_size and
changed (the numbers of the pages that it wrote). The group must be there: `walkeep followers STORE create GROUP`.

With --rows each line also has tables (created, dropped, columns_changed, redefined, not_compared) and rows: table, op (delete, update,
insert, in this order), key, old and new. docs/followers.md says how values are written.

With --ack a commit is acknowledged when its line is written, or when the command of --exec has ended with 0: so each is delivered
at least once. If that command fails, this ends with exit code 10 and acknowledges nothing more. If commits are gone because the group
was past its cap, this ends with exit code 3 and says where to go on.";

/// Commits that are polled at once.
const BATCH: usize = 100;

/// The longest pause while a store is away.
const PAUSE_MAX: Duration = Duration::from_secs(60);

#[derive(Debug, Args)]
pub(crate) struct ChangesArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// The namespace; by default the only one of the store
    #[arg(short, long, value_name = "NS", env = NAMESPACE_VARIABLE)]
    pub(crate) namespace: Option<Namespace>,
    /// The group
    #[arg(short, long, value_name = "GROUP")]
    pub(crate) group: GroupName,
    /// The member
    #[arg(short, long, value_name = "MEMBER")]
    pub(crate) member: MemberName,
    /// Acknowledge what was delivered
    #[arg(long)]
    pub(crate) ack: bool,
    /// Go on with commits that are stored later, until SIGTERM or SIGINT
    #[arg(long)]
    pub(crate) follow: bool,
    /// The longest pause between two looks at the store with --follow; at least 50ms
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_poll, requires = "follow")]
    pub(crate) poll: Duration,
    /// At most this many commits
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// Run this command of the shell for each commit, with the line on its standard input, instead of writing it
    #[arg(long, value_name = "CMD")]
    pub(crate) exec: Option<String>,
    /// Add the images of the pages, in hexadecimal: those of a commit are in memory at once
    #[arg(long)]
    pub(crate) images: bool,
    /// Add the rows that the commit inserted, updated and deleted, of a SQLite database: those of a commit are in memory at
    /// once, and two copies of the database in a temporary directory (TMPDIR)
    #[arg(long)]
    pub(crate) rows: bool,
}

pub(super) async fn run(args: &ChangesArgs, _: bool) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    tokio::select! {
        biased;
        name = signals.next() => {
            output::note(format!("{name}: stopped"));
            Ok(())
        }
        done = deliver(args) => done,
    }
}

async fn deliver(args: &ChangesArgs) -> anyhow::Result<()> {
    let store = Store::open(&args.store.store)?;
    let namespace = only_namespace(&store.bucket, args.namespace.as_ref()).await?;
    let followers = Followers::new(&store.bucket, &Handles::system());
    let rows = args.rows.then(|| Rows::new(&store.bucket, &namespace)).transpose()?;
    let mut delivery = Delivery { args, namespace: &namespace, followers: &followers, rows, read: None };
    let (mut left, mut pause) = (args.limit.unwrap_or(usize::MAX), args.poll);
    while left > 0 {
        let wanted = left.min(BATCH);
        let polled =
            followers.poll_behind(&namespace, &args.group, &args.member, delivery.read, wanted).await;
        let poll = match polled {
            Ok(poll) => poll,
            Err(error @ Error::Unavailable { .. }) if args.follow => {
                output::note(format!("warning: {error}; this goes on trying"));
                tokio::time::sleep(pause).await;
                pause = pause.saturating_mul(2).min(PAUSE_MAX.max(args.poll));
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        pause = args.poll;
        refuse_gone(&namespace, &poll)?;
        if poll.changes.is_empty() {
            if !args.follow {
                break;
            }
            let patience = Patience { first: Duration::from_millis(100).min(args.poll), longest: args.poll };
            match wait_beyond(&store.bucket, &namespace, poll.position, patience).await {
                // Whoever polls next says it.
                Ok(_) | Err(Error::Unavailable { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            continue;
        }
        left = left.saturating_sub(poll.changes.len());
        delivery.deliver(&poll.changes).await?;
    }
    Ok(())
}

fn refuse_gone(namespace: &Namespace, poll: &Poll) -> anyhow::Result<()> {
    if poll.evicted_frames > 0 {
        let frames = output::count(poll.evicted_frames, "frame");
        output::note(format!(
            "warning: the group has lost {frames} since the last look: it was past its cap"
        ));
    }
    let position: Option<FrameNo> = poll.position;
    poll.gone.map_or(Ok(()), |gone| Err(gone.into_error(namespace, position).into()))
}
