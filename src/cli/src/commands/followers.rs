//! `walkeep followers STORE`: who reads the log of a namespace, and how far each has come.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;
use walkeep::core::manifest::{Cap, Group};
use walkeep::core::{FrameNo, GroupName, MemberName, Namespace, UnixMillis};
use walkeep::followers::{Begin, Followers};
use walkeep::{Handles, RestorePoint};

use super::fork::{PointArgs, point};
use super::only_namespace;
use crate::args::{NAMESPACE_VARIABLE, StoreArgs, parse_frame};
use crate::output;
use crate::quantity::{parse_size, parse_span};
use crate::store::Store;

#[derive(Debug, Args)]
pub(crate) struct FollowersArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// The namespace; by default the only one of the store
    #[arg(short, long, value_name = "NS", env = NAMESPACE_VARIABLE, global = true)]
    pub(crate) namespace: Option<Namespace>,
    #[command(subcommand)]
    pub(crate) action: Option<Action>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// List groups and members, and how far behind each is (the default)
    List,
    /// Create a group: from now on, what it needs is kept
    Create(CreateArgs),
    /// Acknowledge everything up to a frame; the first time, the member joins the group
    Ack {
        /// The group
        group: GroupName,
        /// The member
        member: MemberName,
        /// The last frame that it needs no more
        #[arg(value_parser = parse_frame)]
        frame: FrameNo,
    },
    /// Delete a group, or a member of it: nothing is kept for it any more
    Delete {
        /// The group
        group: GroupName,
        /// The member; by default the whole group
        member: Option<MemberName>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// The group
    pub(crate) group: GroupName,
    /// Begin with the oldest commit behind which none is gone
    #[arg(long, conflicts_with = "PointArgs")]
    pub(crate) from_start: bool,
    #[command(flatten)]
    pub(crate) begin: PointArgs,
    /// How many bytes of stored segments are kept for it at most: bytes, or with K, M, G or T; by default all that it needs
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) max_bytes: Option<u64>,
    /// How old what is kept for it may be at most, such as 7d; by default as old as it needs
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    pub(crate) max_age: Option<Duration>,
}

#[derive(Serialize)]
struct Row<'a> {
    namespace: &'a Namespace,
    group: &'a GroupName,
    created: String,
    created_ms: UnixMillis,
    from: Option<FrameNo>,
    cap_bytes: Option<u64>,
    cap_age_ms: Option<u64>,
    evicted_frames: u64,
    evicted_until: Option<FrameNo>,
    members: Vec<MemberRow>,
}

#[derive(Serialize)]
struct MemberRow {
    member: MemberName,
    position: FrameNo,
    joined: String,
    joined_ms: UnixMillis,
    lag_frames: u64,
    lag_bytes: u64,
    lag_seconds: u64,
    /// Set when commits that it needs are gone.
    go_on_at: Option<FrameNo>,
}

pub(super) async fn run(args: &FollowersArgs, json: bool) -> anyhow::Result<()> {
    let store = Store::open(&args.store.store)?;
    let namespace = only_namespace(&store.bucket, args.namespace.as_ref()).await?;
    let followers = Followers::new(&store.bucket, &Handles::system());
    match &args.action {
        None | Some(Action::List) => list(&followers, &namespace, json).await,
        Some(Action::Create(create)) => {
            let begin = match point(&store, &namespace, &create.begin).await? {
                _ if create.from_start => Begin::Oldest,
                RestorePoint::Latest => Begin::Newest,
                point => Begin::Behind(point),
            };
            let age_ms = create.max_age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
            let cap = Cap { bytes: create.max_bytes, age_ms };
            let made = followers.create_group(&namespace, &create.group, begin, cap).await?;
            show(&row(&followers, &namespace, &create.group, &made).await?, json)
        }
        Some(Action::Ack { group, member, frame }) => {
            followers.ack(&namespace, group, member, *frame).await?;
            let group_now = followers.group(&namespace, group).await?;
            show(&row(&followers, &namespace, group, &group_now).await?, json)
        }
        Some(Action::Delete { group, member: Some(member) }) => {
            followers.remove_member(&namespace, group, member).await?;
            output::note(format!("{member} is no member of group {group} any more"));
            let group_now = followers.group(&namespace, group).await?;
            show(&row(&followers, &namespace, group, &group_now).await?, json)
        }
        Some(Action::Delete { group, member: None }) => {
            followers.delete_group(&namespace, group).await?;
            output::note(format!("group {group} is deleted"));
            Ok(())
        }
    }
}

async fn list(followers: &Followers, namespace: &Namespace, json: bool) -> anyhow::Result<()> {
    let groups = followers.groups(namespace).await?;
    if groups.is_empty() {
        output::note(format!("nobody follows {namespace}"));
    }
    for (name, group) in &groups {
        show(&row(followers, namespace, name, group).await?, json)?;
    }
    Ok(())
}

async fn row<'a>(
    followers: &Followers,
    namespace: &'a Namespace,
    name: &'a GroupName,
    group: &Group,
) -> anyhow::Result<Row<'a>> {
    let mut members = Vec::new();
    for (member, joined) in &group.members {
        let poll = followers.poll(namespace, name, member, 0).await?;
        members.push(MemberRow {
            member: member.clone(),
            position: poll.position.unwrap_or(joined.frame),
            joined: joined.created.to_string(),
            joined_ms: joined.created,
            lag_frames: poll.lag.frames,
            lag_bytes: poll.lag.bytes,
            lag_seconds: poll.lag.age.as_secs(),
            go_on_at: poll.gone.map(|gone| gone.go_on_at),
        });
    }
    Ok(Row {
        namespace,
        group: name,
        created: group.created.to_string(),
        created_ms: group.created,
        from: group.from,
        cap_bytes: group.cap().bytes,
        cap_age_ms: group.cap().age_ms,
        evicted_frames: group.evicted.map_or(0, |evicted| evicted.frames),
        evicted_until: group.evicted.map(|evicted| evicted.until),
        members,
    })
}

fn show(row: &Row<'_>, json: bool) -> anyhow::Result<()> {
    if json {
        return output::json(row);
    }
    let from = row
        .from
        .map_or_else(|| "before the first frame".to_string(), |frame| format!("behind frame {frame}"));
    let mut caps = Vec::new();
    caps.extend(row.cap_bytes.map(output::bytes));
    caps.extend(row.cap_age_ms.map(|age| format!("{} seconds", age / 1000)));
    let cap =
        if caps.is_empty() { "no cap".to_string() } else { format!("capped at {}", caps.join(" and ")) };
    output::line(format!("{}: begins {from}, {cap}", row.group));
    if let Some(until) = row.evicted_until {
        let frames = output::count(row.evicted_frames, "frame");
        output::line(format!(
            "  lost {frames} so far, at last those up to frame {until}: it was past its cap"
        ));
    }
    for member in &row.members {
        let behind = match member.go_on_at {
            Some(frame) => format!("commits that it needs are gone; it can go on at frame {frame}"),
            None if member.lag_frames == 0 => "up to date".to_string(),
            None => format!(
                "{} behind, {}, {} seconds",
                output::count(member.lag_frames, "frame"),
                output::bytes(member.lag_bytes),
                member.lag_seconds
            ),
        };
        output::line(format!("  {}: at frame {}, {behind}", member.member, member.position));
    }
    Ok(())
}
