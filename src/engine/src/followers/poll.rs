//! Polling: the next commits behind a position, and how far it is behind.

use std::sync::Arc;
use std::time::Duration;

use walkeep_core::manifest::Group;
use walkeep_core::{Error, FrameNo, GroupName, MemberName, Namespace, Result, Unreachable};

use super::groups::group_of;
use super::{Change, Followers};
use crate::history;
use crate::manifests;
use crate::stored_segment::StoredSegment;
use crate::timeline::{RELIST_MAX, Timeline};

/// How long to wait before listing again, when something changed or is missing.
const PAUSE: Duration = Duration::from_millis(50);

/// What a poll found.
#[derive(Clone, Debug)]
pub struct Poll {
    /// How far the member has come, or has read on to; `None`: not to the first frame.
    pub position: Option<FrameNo>,
    /// The next commits, oldest first, as many as were asked for at most.
    pub changes: Vec<Change>,
    /// How far it is behind.
    pub lag: Lag,
    /// Set when commits behind the position are gone; there are no changes then.
    pub gone: Option<Gone>,
    /// How many frames the group has lost since it was last polled here: 0 at the first poll of a process.
    pub evicted_frames: u64,
}

/// How far a follower is behind the newest commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// Frames behind the position.
    pub frames: u64,
    /// The bytes of the stored segments that hold them.
    pub bytes: u64,
    /// The age of the oldest commit behind the position.
    pub age: Duration,
}

/// Commits behind a position that are gone: the group was past its cap, or the member came late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone {
    /// Restore the database at this frame, or at a later commit, and acknowledge that: all commits behind it are kept.
    pub go_on_at: FrameNo,
}

impl Gone {
    /// The same as an error.
    #[must_use]
    pub fn into_error(self, namespace: &Namespace, position: Option<FrameNo>) -> Error {
        let go_on_at = self.go_on_at;
        let wanted = position.map_or_else(
            || format!("all commits of namespace {namespace}"),
            |frame| format!("all commits of namespace {namespace} behind frame {frame}"),
        );
        let why = format!(
            "some are gone, because the group was past its cap or the member came late; restore the database at frame \
             {go_on_at} or later, acknowledge that frame, and go on from there"
        );
        Unreachable { wanted, why, ..Unreachable::default() }.into()
    }
}

impl Followers {
    /// The next commits behind the position of a member, at most `limit`, oldest first. Nothing is acknowledged by that.
    ///
    /// The requests go with the segments that stand behind the position (a listing for each thousand) and with those that
    /// the returned commits stand in. Images are fetched when they are asked for ([`Change::images`]).
    ///
    /// # Errors
    ///
    /// `NotFound` for an unknown namespace or group; `Unreachable` when stored segments are missing; `Corrupt` when one is
    /// damaged, or the last acknowledgement is; `Unavailable`.
    pub async fn poll(
        &self,
        namespace: &Namespace,
        group: &GroupName,
        member: &MemberName,
        limit: usize,
    ) -> Result<Poll> {
        self.poll_behind(namespace, group, member, None, limit).await
    }

    /// The same for a member that has read on to a frame without acknowledging it: the commits behind that.
    ///
    /// # Errors
    ///
    /// As [`Followers::poll`].
    pub async fn poll_behind(
        &self,
        namespace: &Namespace,
        group: &GroupName,
        member: &MemberName,
        read: Option<FrameNo>,
        limit: usize,
    ) -> Result<Poll> {
        let mut hole = None;
        for attempt in 1..=RELIST_MAX {
            if attempt > 1 {
                tokio::time::sleep(PAUSE).await;
            }
            let manifest = manifests::present(&self.bucket, namespace).await?;
            let found = group_of(&manifest, group)?.clone();
            let position = self.position_in(namespace, &manifest, group, member).await?.max(read);
            if !manifest.leads_on_from(position) {
                let gone = Some(Gone { go_on_at: manifest.frontier() });
                let mut poll = Poll { gone, ..Poll::empty(position) };
                poll.evicted_frames = self.evicted_since(namespace, group, &found);
                return Ok(poll);
            }
            let timeline =
                Timeline::load_all_behind(&self.bucket, namespace, manifest.clone(), position).await?;
            if !timeline.still_current(&self.bucket).await? {
                continue;
            }
            if let Some(lost) = timeline.lost_manifests() {
                if attempt < RELIST_MAX {
                    continue;
                }
                return Err(lost);
            }
            let newest = timeline.newest().map(|segment| segment.key.end());
            let missing = match newest {
                Some(newest) => timeline.cover(newest).err(),
                None => None,
            };
            let behind_newest = timeline.missing_newest().filter(|missing| Some(*missing.end()) > position);
            if let Some(missing) = missing.or(behind_newest) {
                // A listing may miss what a compaction is just replacing: the same hole in a fresh one is real.
                if hole.replace(missing.clone()) != Some(missing.clone()) && attempt < RELIST_MAX {
                    continue;
                }
                let wanted = format!("the commits of namespace {namespace} behind a follower's position");
                let why = "no stored segment covers some of their frames";
                let missing = Some(missing);
                return Err(Unreachable { wanted, why: why.into(), missing, ..Unreachable::default() }.into());
            }
            if let Some(newest) = newest {
                self.remember_durable(namespace, &manifest, newest);
            }
            match self.read(&timeline, position, limit).await {
                // A compaction or collection took a segment away that was listed just now.
                Err(Error::NotFound { what }) if attempt < RELIST_MAX => {
                    tracing::debug!(object = what, "a listed object is gone; listing again");
                }
                Err(Error::NotFound { what }) => {
                    return Err(Error::corrupt(what, 0, "an object that is listed", "no object"));
                }
                Err(error) => return Err(error),
                Ok(mut poll) => {
                    poll.evicted_frames = self.evicted_since(namespace, group, &found);
                    return Ok(poll);
                }
            }
        }
        let what = format!("namespace {namespace} changed during {RELIST_MAX} listings");
        Err(Error::Unavailable { what, source: None })
    }

    /// Reads the next commits of a timeline that is whole behind the position.
    async fn read(&self, timeline: &Timeline, position: Option<FrameNo>, limit: usize) -> Result<Poll> {
        let segments = history::behind(timeline, position);
        let mut poll = Poll::empty(position);
        poll.lag.bytes = segments.iter().map(|segment| segment.size).sum();
        let newest = timeline.newest().map_or(0, |segment| segment.key.end().get());
        poll.lag.frames = newest.saturating_sub(position.map_or(0, FrameNo::get));
        let mut reached = position;
        let seed = timeline.manifest().hash_seed();
        for stored in segments {
            // The age of the first one is told even if none is wanted.
            if poll.changes.len() >= limit.max(1) {
                break;
            }
            check_joins(timeline, reached, &stored)?;
            let opened = Arc::new(timeline.open(&self.bucket, stored).await?);
            poll.changes.extend(Change::all_of(&self.bucket, seed, &opened, reached));
            reached = reached.max(Some(stored.key.end()));
        }
        if let Some(oldest) = poll.changes.first() {
            let now = self.handles.clock.now().get();
            poll.lag.age = Duration::from_millis(now.saturating_sub(oldest.commit.time.get()));
        }
        poll.changes.truncate(limit);
        Ok(poll)
    }

    /// How many frames a group has lost since the last call.
    fn evicted_since(&self, namespace: &Namespace, name: &GroupName, group: &Group) -> u64 {
        let now = group.evicted.map_or(0, |evicted| evicted.frames);
        let life = (namespace.clone(), name.clone(), group.generation);
        let before = self.known().evicted.insert(life, now);
        before.map_or(0, |before| now.saturating_sub(before))
    }
}

impl Poll {
    fn empty(position: Option<FrameNo>) -> Self {
        Self { position, changes: Vec::new(), lag: Lag::default(), gone: None, evicted_frames: 0 }
    }
}

/// No commit may be passed over: each segment goes on where the one before ended.
fn check_joins(timeline: &Timeline, reached: Option<FrameNo>, stored: &StoredSegment) -> Result<()> {
    let next = reached.map_or(Some(FrameNo::FIRST), FrameNo::next);
    if Some(stored.key.start()) <= next {
        return Ok(());
    }
    let expected = next.map_or_else(String::new, |next| format!("a segment of frame {next}"));
    let object = format!("namespace {}", timeline.namespace());
    Err(Error::corrupt(object, 0, expected, format!("segment {} as the next one", stored.key)))
}
