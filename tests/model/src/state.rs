//! One state of the whole system.
//!
//! Job: put store, actors, promises and the remaining bounds side by side.
//!
//! Invariants: `acknowledged` and `confirmed` belong to no actor: they remember what was promised to the outside, and
//! no actor reads them.
//!
//! Not here: what actors do (a module each).

use crate::bounds::Bounds;
use crate::collector::Collector;
use crate::compactor::Compactor;
use crate::content::{Frame, Tag, Tags};
use crate::faults::{Fault, Faults};
use crate::manifest::Manifest;
use crate::pinner::Pinner;
use crate::reader::Reader;
use crate::segment::Segment;
use crate::store::{Delivery, Flight, Store};
use crate::writer::Writer;

/// The state that the checker explores.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// Objects and requests in flight.
    pub store: Store,
    /// The writer processes.
    pub writers: Vec<Writer>,
    /// The reader.
    pub reader: Reader,
    /// The compactor.
    pub compactor: Compactor,
    /// GC.
    pub collector: Collector,
    /// Somebody who pins a restore point.
    pub pinner: Pinner,
    /// What is left of the bounds.
    pub left: Bounds,
    /// Opens so far; numbers the next one.
    pub opens: u8,
    /// What was acknowledged.
    pub acknowledged: Tags,
    /// What a reader was told is a restore point.
    pub confirmed: Tags,
    /// Faults of events, kept for ever.
    pub events: Faults,
    /// Faults of this state.
    pub judged: Faults,
    /// A PUT of an overtaken epoch has landed.
    pub late_put_landed: bool,
    /// A manifest create has landed late.
    pub late_create_landed: bool,
}

impl State {
    /// Tells the outside that a frame is durable.
    pub fn acknowledge(&mut self, frame: Frame, tag: Tag) {
        let before = self.acknowledged.get(frame);
        self.events.note_if(before != 0 && before != tag, Fault::AcknowledgedTwice);
        self.acknowledged.set(frame, tag);
    }

    /// Creates a manifest, noting an epoch that begins where something was acknowledged already.
    pub fn create(&mut self, manifest: Manifest) -> bool {
        let before = self.store.manifest.last_begun().copied();
        let created = self.store.create(manifest);
        let after = self.store.manifest.last_begun().copied();
        if created && before != after {
            let begin = after.and_then(|entry| entry.begin).unwrap_or(1);
            self.events.note_if(begin <= self.acknowledged.last(), Fault::BegunBelowAcknowledged);
        }
        created
    }

    /// Sends a PUT; true if its answer arrived.
    pub fn send_put(&mut self, segment: Segment, delivery: Delivery) -> bool {
        match delivery {
            Delivery::Answered => self.store.put(segment),
            Delivery::Lost => {
                self.left.time_outs -= 1;
                self.store.launch(Flight::Put(segment));
            }
        }
        delivery == Delivery::Answered
    }

    /// Sends a create; true if it was answered with success.
    pub fn send_create(&mut self, manifest: Manifest, delivery: Delivery) -> bool {
        match delivery {
            Delivery::Answered => self.create(manifest),
            Delivery::Lost => {
                self.left.time_outs -= 1;
                if manifest.version == self.store.manifest.version + 1 {
                    self.store.launch(Flight::Create(manifest));
                }
                false
            }
        }
    }

    /// Lands one of the requests in flight.
    pub fn land(&mut self, flight: &Flight) {
        let Some(at) = self.store.flights.iter().position(|other| other == flight) else { return };
        match self.store.flights.remove(at) {
            Flight::Put(segment) => {
                let overtaken =
                    self.store.manifest.last_begun().is_some_and(|entry| entry.epoch > segment.epoch);
                self.late_put_landed |= overtaken;
                self.store.put(segment);
            }
            Flight::Create(manifest) => self.late_create_landed |= self.create(manifest),
        }
    }

    /// The ways in which a writer's request may fare.
    pub fn deliveries(&self) -> &'static [Delivery] {
        if self.left.time_outs > 0 { &[Delivery::Answered, Delivery::Lost] } else { &[Delivery::Answered] }
    }

    /// The ways in which a request of compactor, GC or pinner may fare.
    pub fn maintenance_deliveries(&self) -> &'static [Delivery] {
        if self.left.maintenance_times_out { self.deliveries() } else { &[Delivery::Answered] }
    }
}
