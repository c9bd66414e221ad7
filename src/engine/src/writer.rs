//! Writing a namespace: one writer at a time, fenced by epochs.
//!
//! The protocol is `docs/protocol.md`, "Open" and "Store"; each step is there because a run without it lost data.
//!
//! Invariants:
//!
//! - a writer has claimed its epoch before it looks where the log ends, so that what it did not see can never be
//!   acknowledged by the writer before it;
//! - a segment is acknowledged only after it is stored *and* no other writer has claimed since;
//! - an outcome that is unknown is resolved by reading, or reported as unknown; what may be stored already is never
//!   cut anew in the same epoch.

use std::sync::Arc;
use std::time::Duration;

use walkeep_backends::os::{SystemClock, SystemRandom};
use walkeep_core::segment::{FOOTER_LEN, Footer, SegmentSummary};
use walkeep_core::{
    ByteRange, Clock, Epoch, Error, FrameNo, HashSeed, LogHead, LogId, Manifest, Namespace, Nonce, PageSize,
    Random, Result, SealedSegment, SegmentId, SegmentKey, UnixMillis,
};

use crate::bucket::Bucket;
use crate::claim::{Claim, claim};
use crate::manifests;
use crate::stored_segment::StoredSegment;
use crate::timeline::{self, Ancestor, Timeline, no_namespace};

/// How often a step whose outcome is unknown is repeated, and how long to wait before.
pub(crate) const ATTEMPTS: u32 = 5;
/// Where a segment's header holds its identity (`docs/format.md`, 2.1).
const HEADER_SEGMENT_ID_OFFSET: u64 = 32;

pub(crate) const BACK_OFF: Duration = Duration::from_millis(100);

/// The handles that writing needs.
#[derive(Clone, Debug)]
pub struct Handles {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
}

impl Handles {
    /// The machine's own clock and randomness.
    #[must_use]
    pub fn system() -> Self {
        Self { clock: Arc::new(SystemClock), random: Arc::new(SystemRandom) }
    }
}

/// The one writer of a namespace, until another one opens it.
#[derive(Debug)]
pub struct Writer {
    bucket: Bucket,
    namespace: Namespace,
    manifest: Manifest,
    nonce: Nonce,
    epoch: Epoch,
    /// The newest segment: what the next one follows.
    tip: Option<StoredSegment>,
    /// Of a fork: what the tip may be stored in.
    ancestors: Vec<Ancestor>,
    /// The segment behind it that may be stored already: nothing else may take its frames in this epoch.
    begun: Option<SegmentId>,
    /// The store that it was opened in, while it writes to another.
    home: Option<Bucket>,
    /// How often a step of [`Writer::store`] is tried before it is left to the caller.
    attempts: u32,
}

impl Writer {
    /// Becomes the writer of a namespace, creating it if it is new. A writer that had it open is fenced.
    ///
    /// # Errors
    ///
    /// `Fenced` when another one opened it at the same time; `Corrupt` when stored segments have a hole, which is
    /// never covered up by writing on; `Invalid` when the store does not honour create-only requests, unless the
    /// bucket is [unfenced](crate::Fencing); `Unavailable`; `Unknown`.
    ///
    /// # Cancel safety
    ///
    /// A cancelled opening fences the writer before, and leaves a claim that the next opening settles.
    pub async fn open(
        bucket: &Bucket,
        namespace: &Namespace,
        page_size: PageSize,
        handles: &Handles,
    ) -> Result<Self> {
        let Claim { manifest, nonce, refusal } =
            claim(bucket, namespace, page_size, &*handles.random).await?;
        let opened = Self::begin(bucket, namespace, manifest, nonce).await;
        match refusal {
            None => opened,
            // The opening has ended all the same: a claim without its begin would keep the newest commits from readers.
            Some(refusal) => {
                if let Err(error) = opened {
                    tracing::debug!(%namespace, %error, "the opening of a store that is refused stays pending");
                }
                Err(refusal)
            }
        }
    }

    /// Finds out where a claimed epoch begins, and begins it.
    async fn begin(
        bucket: &Bucket,
        namespace: &Namespace,
        mut manifest: Manifest,
        nonce: Nonce,
    ) -> Result<Self> {
        let epoch = manifest.last().epoch;
        let timeline = Timeline::load(bucket, namespace).await?.with_unconfirmed();
        if !timeline.manifest().is_last(nonce) {
            return Err(fenced(namespace, epoch, timeline.manifest()));
        }
        check_whole(&timeline)?;
        // From here on the frame is fixed: a create whose outcome is unknown may still land, and a later listing
        // might see more.
        let tip = timeline.newest().copied();
        let begin = next_frame(tip.as_ref())?;
        let floor = tip.map_or(UnixMillis(0), |segment| segment.key.time());
        for _ in 0..ATTEMPTS {
            let begun = manifest.begin(begin, floor)?;
            let newest = match manifests::create(bucket, namespace, &begun).await {
                Ok(()) => begun,
                Err(error) if may_have_happened(&error) => reread(bucket, namespace).await?,
                Err(error) => return Err(error),
            };
            if !newest.is_last(nonce) {
                return Err(fenced(namespace, epoch, &newest));
            }
            if !newest.is_pending() {
                let (bucket, namespace) = (bucket.clone(), namespace.clone());
                return Ok(Self {
                    bucket,
                    namespace,
                    manifest: newest,
                    nonce,
                    epoch,
                    tip,
                    ancestors: timeline.ancestors().to_vec(),
                    begun: None,
                    home: None,
                    attempts: ATTEMPTS,
                });
            }
            manifest = newest;
        }
        Err(Error::Unknown { what: format!("opening namespace {namespace} did not settle; open it again") })
    }

    /// The same writer, which tries each step once and leaves repetitions to its caller.
    #[must_use]
    pub(crate) fn trying_once(self) -> Self {
        Self { attempts: 1, ..self }
    }

    /// The manifest with which it was opened, and the nonce of that opening.
    pub(crate) const fn opening(&self) -> (&Manifest, Nonce) {
        (&self.manifest, self.nonce)
    }

    /// The store it writes to.
    pub(crate) const fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    /// Writes to the store that it was opened in again.
    pub(crate) fn move_home(&mut self) {
        if let Some(home) = self.home.take() {
            self.bucket = home;
        }
    }

    /// Writes to what should be the same store for a while, with other credentials perhaps.
    ///
    /// # Errors
    ///
    /// `Invalid` when this writer's manifest is not there: it is another store, where a check for newer manifests
    /// would find none and acknowledge what no restore can reach. `Unavailable`, `Corrupt`.
    pub(crate) async fn move_to(&mut self, bucket: Bucket) -> Result<()> {
        let version = self.manifest.version();
        match manifests::read(&bucket, &self.namespace, version).await {
            Ok(there) if there == self.manifest => {
                let before = std::mem::replace(&mut self.bucket, bucket);
                self.home.get_or_insert(before);
                Ok(())
            }
            Ok(_) | Err(Error::NotFound { .. }) => {
                let why = format!(
                    "manifest {version}, with which it was opened, is not there: open it in that store"
                );
                Err(Error::invalid(format!("another store for namespace {}", self.namespace), why))
            }
            Err(error) => Err(error),
        }
    }

    /// Where the log goes on, for whoever seals its segments: what opening the newest segment takes.
    ///
    /// # Errors
    ///
    /// `Corrupt`, `NotFound`, `Unavailable`.
    pub async fn head(&self) -> Result<LogHead> {
        let durable = match self.tip {
            None => None,
            Some(tip) => {
                let (namespace, ancestors) = (&self.namespace, &self.ancestors);
                let open = timeline::open(&self.bucket, namespace, &self.manifest, ancestors, tip).await?;
                open.commits().last().copied()
            }
        };
        Ok(LogHead {
            log_id: self.log_id(),
            hash_seed: self.hash_seed(),
            epoch: self.epoch,
            page_size: self.manifest.last().page_size,
            durable,
            time_floor: self.time_floor(),
            unbounded: false,
        })
    }

    /// The log's identity.
    #[must_use]
    pub const fn log_id(&self) -> LogId {
        self.manifest.log_id()
    }

    /// The seed of the log's page hashes.
    #[must_use]
    pub const fn hash_seed(&self) -> HashSeed {
        self.manifest.hash_seed()
    }

    /// The epoch that this writer holds.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The name of the newest segment: what the next one follows.
    #[must_use]
    pub fn tip(&self) -> Option<&SegmentKey> {
        self.tip.as_ref().map(|segment| &segment.key)
    }

    /// The frame that comes next.
    ///
    /// # Errors
    ///
    /// `Exhausted` when there is none.
    pub fn next_frame_no(&self) -> Result<FrameNo> {
        next_frame(self.tip.as_ref())
    }

    /// Stores the next segment and returns its last frame, which is durable then.
    ///
    /// # Errors
    ///
    /// `Invalid` when it does not follow the newest one, in frames or in time, or is not the one that an earlier
    /// call has begun to store; `Fenced` when another writer has taken over: the segment does not count; `Unknown`
    /// and others: repeat the call with the very same segment, or open again.
    ///
    /// # Cancel safety
    ///
    /// As `Unknown`.
    pub async fn store(&mut self, segment: &SealedSegment) -> Result<FrameNo> {
        let SegmentSummary { key, footer, len } = &segment.summary;
        let follows = key.start() == self.next_frame_no()?
            && key.epoch() == self.epoch
            && footer.header.log_id == self.log_id()
            && footer.first_time >= self.time_floor()
            && footer.header.page_size == self.manifest.last().page_size;
        if !follows {
            let (frame, epoch, floor) = (self.next_frame_no()?, self.epoch, self.time_floor());
            let why = format!("frame {frame} of epoch {epoch} comes next, not before {floor}");
            return Err(Error::invalid(format!("segment {key}"), why));
        }
        let id = footer.header.segment_id;
        if self.begun.is_some_and(|begun| begun != id) {
            let why = "another segment of these frames may be stored already: repeat that one, or open again";
            return Err(Error::invalid(format!("segment {key}"), why));
        }
        // Before the request, so that it also holds after a call that was cancelled.
        self.begun = Some(id);
        self.put(segment).await?;
        self.check_still_ours().await?;
        self.tip = Some(StoredSegment::new(*key, *len));
        self.begun = None;
        Ok(key.end())
    }

    /// The time of the commit before the next one: times do not fall.
    fn time_floor(&self) -> UnixMillis {
        let floor = self.manifest.last().floor;
        self.tip().map_or(floor, |tip| tip.time().max(floor))
    }

    /// Puts the segment, repeating the same bytes while the outcome is unknown.
    async fn put(&self, segment: &SealedSegment) -> Result<()> {
        let path = self.bucket.layout().segment(&self.namespace, &segment.summary.key);
        for attempt in 1..=self.attempts {
            match self.bucket.put_new(&path, segment.body.clone()).await {
                Ok(()) => return Ok(()),
                Err(Error::AlreadyExists { .. }) => return self.check_is_ours(&path, segment).await,
                Err(error) if !may_have_happened(&error) => return Err(error),
                Err(error) if attempt == self.attempts => {
                    return Err(Error::Unknown { what: format!("storing {path}: {error}") });
                }
                Err(error) => tracing::debug!(%path, %error, attempt, "trying again to store a segment"),
            }
            tokio::time::sleep(BACK_OFF * 2_u32.pow(attempt)).await;
        }
        Err(Error::Unknown { what: format!("storing {path}") })
    }

    /// An object of this name is there: is it this very segment, put by a call whose reply was lost?
    async fn check_is_ours(&self, path: &walkeep_core::ObjectPath, segment: &SealedSegment) -> Result<()> {
        let tail = self.bucket.get(path, ByteRange::Suffix(FOOTER_LEN as u64)).await?;
        let found = Footer::parse(path.as_str(), &tail, segment.summary.len)?;
        if found == segment.summary.footer {
            return Ok(());
        }
        // Nobody else may write in our epoch.
        let expected = format!("segment {}", segment.summary.footer.header.segment_id);
        let found = format!("segment {}, stored in our epoch by somebody else", found.header.segment_id);
        Err(Error::corrupt(path, HEADER_SEGMENT_ID_OFFSET, expected, found))
    }

    /// The segment is stored; whether it counts could not be found out.
    fn unknown_ownership(&self, error: &Error) -> Error {
        Error::Unknown { what: format!("whether another writer has taken over {}: {error}", self.namespace) }
    }

    /// After a segment is stored: has nobody claimed the next epoch? One cheap request when nobody has.
    async fn check_still_ours(&mut self) -> Result<()> {
        let next = self
            .manifest
            .version()
            .get()
            .checked_add(1)
            .and_then(walkeep_core::manifest::ManifestVersion::new);
        let next = next.ok_or_else(|| Error::Exhausted { what: "all manifest versions are used".into() })?;
        for attempt in 1..=self.attempts {
            match manifests::read(&self.bucket, &self.namespace, next).await {
                Err(Error::NotFound { .. }) => return Ok(()),
                Err(Error::Unavailable { .. }) if attempt < self.attempts => {
                    tokio::time::sleep(BACK_OFF * 2_u32.pow(attempt)).await;
                }
                Err(error) => return Err(self.unknown_ownership(&error)),
                Ok(_) => break,
            }
        }
        let newest = reread(&self.bucket, &self.namespace).await;
        let newest = newest.map_err(|error| self.unknown_ownership(&error))?;
        let ours = newest.log_id() == self.manifest.log_id() && newest.is_last(self.nonce);
        if ours && newest.life().is_active() && !newest.is_pending() {
            self.manifest = newest;
            return Ok(());
        }
        if ours && !newest.life().is_active() {
            let why = format!(
                "it is {} since manifest {}: nothing is written to it",
                newest.life(),
                newest.version()
            );
            return Err(Error::invalid(format!("writing to namespace {}", self.namespace), why));
        }
        Err(fenced(&self.namespace, self.epoch, &newest))
    }
}

/// Whether a create may have been carried out although it returned this error, and reading tells. `Unknown` is not
/// among them: an object whose durability is in doubt (its sync failed) can be read all the same.
pub(crate) const fn may_have_happened(error: &Error) -> bool {
    matches!(error, Error::AlreadyExists { .. } | Error::Unavailable { .. })
}

async fn reread(bucket: &Bucket, namespace: &Namespace) -> Result<Manifest> {
    manifests::newest(bucket, namespace).await?.ok_or_else(|| no_namespace(namespace))
}

/// The frame behind the newest segment.
fn next_frame(tip: Option<&StoredSegment>) -> Result<FrameNo> {
    match tip {
        None => Ok(FrameNo::FIRST),
        Some(tip) => {
            tip.key.end().next().ok_or_else(|| Error::Exhausted { what: "all frames are used".into() })
        }
    }
}

/// A hole below a valid segment, or below the begin of an epoch, is damage: writing on would hide it.
fn check_whole(timeline: &Timeline) -> Result<()> {
    let covered = timeline.newest().map_or(Ok(()), |newest| timeline.cover(newest.key.end()).map(drop));
    let missing = covered.err().or_else(|| timeline.missing_newest());
    missing.map_or(Ok(()), |missing| {
        let object = format!("namespace {}", timeline.namespace());
        let expected = format!("segments of frames {} to {}", missing.start(), missing.end());
        Err(Error::corrupt(object, 0, expected, "none"))
    })
}

fn fenced(namespace: &Namespace, ours: Epoch, newest: &Manifest) -> Error {
    let theirs = format!("the newest is epoch {} in manifest {}", newest.last().epoch, newest.version());
    Error::Fenced { namespace: namespace.to_string(), ours: ours.get(), theirs }
}
