//! The object store: segments, the newest manifest, and requests that nobody heard back from.
//!
//! Job: plain PUT (the last writer of a key wins), create-only manifests, and late arrival.
//!
//! Invariants: manifests are created one version after the other, so the newest stands for all; a create of any other
//! version fails. Listings are atomic and complete. A request in flight lands at any later moment, or never. Keys and
//! flights are kept sorted, so that equal stores are equal states.
//!
//! Not here: weak or paged listings.

use crate::manifest::Manifest;
use crate::segment::Segment;

/// How a request fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// It takes effect and the answer arrives.
    Answered,
    /// The sender times out; it takes effect later or never.
    Lost,
}

/// A request whose sender has given up waiting.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Flight {
    /// A segment.
    Put(Segment),
    /// A manifest.
    Create(Manifest),
}

/// Everything that outlives the processes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Store {
    /// Segments in order of key.
    pub segments: Vec<Segment>,
    /// The newest manifest.
    pub manifest: Manifest,
    /// Requests that may still land.
    pub flights: Vec<Flight>,
}

impl Store {
    /// An empty log.
    pub fn new() -> Self {
        Self { segments: Vec::new(), manifest: Manifest::first(), flights: Vec::new() }
    }

    /// Writes a segment, over one of the same key if there is one.
    pub fn put(&mut self, segment: Segment) {
        self.segments.retain(|old| !old.same_key(&segment));
        self.segments.push(segment);
        self.segments.sort_unstable();
    }

    /// Deletes by key; nothing happens when it is gone already.
    pub fn delete(&mut self, segment: &Segment) {
        self.segments.retain(|old| !old.same_key(segment));
    }

    /// Creates a manifest unless its version exists. Creates in flight that can no longer succeed are forgotten.
    pub fn create(&mut self, manifest: Manifest) -> bool {
        if manifest.version != self.manifest.version + 1 {
            return false;
        }
        self.manifest = manifest;
        let newest = self.manifest.version;
        self.flights.retain(|flight| !matches!(flight, Flight::Create(late) if late.version <= newest));
        true
    }

    /// Leaves a request on its way.
    pub fn launch(&mut self, flight: Flight) {
        self.flights.push(flight);
        self.flights.sort_unstable();
    }
}

impl Default for Store {
    fn default() -> Self {
        Self::new()
    }
}
