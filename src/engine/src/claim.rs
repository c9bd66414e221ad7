//! Claiming the next epoch, and trying out by the way whether the store can fence at all.
//!
//! The claim is sent as several creates of one manifest at once, each with a nonce of its own. Of these
//!
//! - one may succeed. Two: the store does not honour create-only requests, and is refused;
//! - at least one must be answered with *exists*. As long as none is, nothing is proven, and another create of the
//!   same manifest is sent;
//! - whichever is stored is the claim. If no reply says which, reading the newest manifest does.
//!
//! On a store that keeps its word this is one create with one nonce: the others never exist. What it cannot see: a
//! server that looks first and writes then, in two steps, when no two of the creates fall between them.
//!
//! Not here: where the epoch begins (`writer`).

use futures::future;
use walkeep_core::manifest::ManifestVersion;
use walkeep_core::{Error, HashSeed, LogId, Manifest, Namespace, Nonce, PageSize, Random, Result};

use crate::bucket::Bucket;
use crate::fencing::Fencing;
use crate::manifests;
use crate::writer::{ATTEMPTS, BACK_OFF};

/// How many creates of the claim are sent at once: a server that looks first and writes then is caught when two of them
/// fall between.
const CREATES: usize = 3;

/// A claim that is stored.
#[derive(Debug)]
pub(crate) struct Claim {
    /// The manifest in which the epoch is pending.
    pub(crate) manifest: Manifest,
    /// Its nonce.
    pub(crate) nonce: Nonce,
    /// Why the store must not be used, if so. The claim stands nevertheless, and must be settled.
    pub(crate) refusal: Option<Error>,
}

/// Claims the next epoch.
///
/// # Errors
///
/// `Unavailable` also when others claim again and again, and when the store did not show whether it can fence;
/// `Invalid` when it cannot, and another one has claimed since.
pub(crate) async fn claim(
    bucket: &Bucket,
    namespace: &Namespace,
    page_size: PageSize,
    random: &dyn Random,
) -> Result<Claim> {
    let mut last = None;
    for attempt in 1..=ATTEMPTS {
        let segments = manifests::newest_segment_epoch(bucket, namespace).await?;
        let newest = manifests::newest(bucket, namespace).await?;
        manifests::refuse_lost(bucket, namespace, segments, newest.as_ref())?;
        let form = Form::new(newest, page_size, random)?;
        match (Attempt { bucket, namespace, random, form: &form }).run().await? {
            Outcome::Claimed(claim) => return Ok(*claim),
            Outcome::Lost(error) => {
                tracing::debug!(%namespace, attempt, ?error, "the claim is not there; claiming again");
                last = error;
            }
        }
        tokio::time::sleep(BACK_OFF * attempt).await;
    }
    Err(last.unwrap_or_else(|| {
        let what = format!("namespace {namespace} is being opened by others again and again");
        Error::Unavailable { what, source: None }
    }))
}

/// What came of an attempt.
enum Outcome {
    Claimed(Box<Claim>),
    /// None of our manifests is the newest. If no create met another manifest, why they failed.
    Lost(Option<Error>),
}

/// What all creates of an attempt have in common.
struct Form {
    newest: Option<Manifest>,
    page_size: PageSize,
    log_id: LogId,
    hash_seed: HashSeed,
}

impl Form {
    fn new(newest: Option<Manifest>, page_size: PageSize, random: &dyn Random) -> Result<Self> {
        let (log_id, hash_seed) = match newest.as_ref().filter(|newest| newest.life().is_there()) {
            Some(newest) => (newest.log_id(), newest.hash_seed()),
            None => (LogId::random(random)?, HashSeed::random(random)?),
        };
        Ok(Self { newest, page_size, log_id, hash_seed })
    }

    fn claimed_by(&self, nonce: Nonce) -> Result<Manifest> {
        match &self.newest {
            Some(newest) if newest.life().is_there() => newest.claim(nonce, self.page_size),
            Some(gone) => gone.recreate(self.log_id, self.hash_seed, self.page_size, nonce),
            None => Ok(Manifest::create(self.log_id, self.hash_seed, self.page_size, nonce)),
        }
    }
}

/// What was sent, and how it was answered.
#[derive(Default)]
struct Replies {
    sent: Vec<Manifest>,
    won: Vec<Manifest>,
    /// Whether one was answered with *exists*.
    refused: bool,
    /// A reply that says nothing about what is stored.
    unsure: Option<Error>,
}

impl Replies {
    /// The manifest, if it is one of those that were sent.
    fn ours(&self, newest: Option<Manifest>) -> Option<Manifest> {
        newest.filter(|newest| self.sent.iter().any(|sent| sent.last().nonce == newest.last().nonce))
    }
}

/// One attempt, on top of one newest manifest.
struct Attempt<'a> {
    bucket: &'a Bucket,
    namespace: &'a Namespace,
    random: &'a dyn Random,
    form: &'a Form,
}

impl Attempt<'_> {
    async fn run(&self) -> Result<Outcome> {
        let required = self.bucket.fencing() == Fencing::Required;
        let mut replies = Replies::default();
        self.create(if required { CREATES } else { 1 }, &mut replies).await?;
        let winner = match replies.won.first() {
            Some(won) => won.clone(),
            // The replies say nothing about who won: the newest manifest does.
            None => match replies.ours(manifests::newest(self.bucket, self.namespace).await?) {
                Some(ours) => ours,
                None => return Ok(Outcome::Lost(replies.unsure.filter(|_| !replies.refused))),
            },
        };
        if required && !self.is_proven(&winner, &mut replies).await? {
            return self.refuse(&replies).await.map(|claim| Outcome::Claimed(Box::new(claim)));
        }
        Ok(Outcome::Claimed(Box::new(Claim::new(winner, None)?)))
    }

    /// Sends so many claims at once.
    ///
    /// # Errors
    ///
    /// What a create was answered with, if it is neither that the manifest exists nor that it may.
    async fn create(&self, count: usize, replies: &mut Replies) -> Result<()> {
        let claims = (0..count)
            .map(|_| self.form.claimed_by(Nonce::random(self.random)?))
            .collect::<Result<Vec<_>>>()?;
        let creates = claims.iter().map(|claim| manifests::create(self.bucket, self.namespace, claim));
        let mut failed = None;
        for (claim, outcome) in claims.iter().zip(future::join_all(creates).await) {
            match outcome {
                Ok(()) => replies.won.push(claim.clone()),
                Err(Error::AlreadyExists { .. }) => replies.refused = true,
                Err(error @ Error::Unavailable { .. }) => replies.unsure = Some(error),
                Err(error) => failed = Some(error),
            }
        }
        replies.sent.extend(claims);
        failed.map_or(Ok(()), Err)
    }

    /// Whether the store honours create-only requests, as far as the replies tell. While they tell nothing, because
    /// they were lost, another create of the manifest that is there is sent.
    async fn is_proven(&self, winner: &Manifest, replies: &mut Replies) -> Result<bool> {
        for attempt in 1..=ATTEMPTS {
            let succeeded = replies.won.iter().filter(|won| won.last().nonce != winner.last().nonce);
            if succeeded.count() > 0 {
                return Ok(false);
            }
            if replies.refused {
                return Ok(true);
            }
            if attempt > 1 {
                tokio::time::sleep(BACK_OFF * attempt).await;
            }
            self.create(1, replies).await?;
        }
        Err(replies.unsure.take().unwrap_or_else(|| {
            let what =
                format!("{}: whether it honours create-only requests was not answered", self.bucket.name());
            Error::Unavailable { what, source: None }
        }))
    }

    /// The claim that is stored on a store that must not be used.
    async fn refuse(&self, replies: &Replies) -> Result<Claim> {
        let refusal = self.refusal(replies);
        match replies.ours(manifests::newest(self.bucket, self.namespace).await?) {
            Some(ours) => Claim::new(ours, Some(refusal)),
            None => Err(refusal),
        }
    }

    fn refusal(&self, replies: &Replies) -> Error {
        let version = replies.sent.first().map_or(ManifestVersion::FIRST, Manifest::version);
        let path = self.bucket.layout().manifest(self.namespace, version);
        let (sent, won) = (replies.sent.len(), replies.won.len().max(2));
        let why = format!(
            "of {sent} creates of {path} {won} succeeded, where one may. It does not honour create-only requests: two \
             writers at once could both be told that their commits are stored, and those of one would be lost. Use \
             another store, or --unfenced (in a program Fencing::Unfenced) and see to it that there is only one writer"
        );
        Error::invalid(self.bucket.name(), why)
    }
}

impl Claim {
    fn new(manifest: Manifest, refusal: Option<Error>) -> Result<Self> {
        match manifest.last().nonce {
            Some(nonce) => Ok(Self { manifest, nonce, refusal }),
            None => {
                Err(Error::invalid(format!("manifest {}", manifest.version()), "its last epoch has no nonce"))
            }
        }
    }
}
