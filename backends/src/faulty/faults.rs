//! What can go wrong, and how often.

use std::collections::BTreeMap;

use walkeep_core::{Error, Result};

/// A way in which a store fails or lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// See [`Faults::fail_before`].
    FailBefore,
    /// See [`Faults::throttled`].
    Throttled,
    /// See [`Faults::conflict`].
    Conflict,
    /// See [`Faults::late_apply`].
    LateApply,
    /// See [`Faults::apply_then_hang`].
    ApplyThenHang,
    /// See [`Faults::lost_put_reply`].
    LostPutReply,
    /// See [`Faults::lost_delete_reply`].
    LostDeleteReply,
    /// See [`Faults::short_body`].
    ShortBody,
    /// See [`Faults::flipped_body`].
    FlippedBody,
    /// See [`Faults::stale_listing`].
    StaleListing,
    /// See [`Faults::partial_listing`].
    PartialListing,
    /// See [`Faults::duplicate_in_listing`].
    DuplicateInListing,
    /// See [`Faults::unsorted_listing`].
    UnsortedListing,
}

/// The probability of each fault, per call that it can befall: 0 is never (the default), 1 is always.
///
/// ```
/// use walkeep_backends::faulty::Faults;
///
/// let faults = Faults { lost_put_reply: 0.2, throttled: 0.2, ..Faults::default() };
/// assert!(faults.check().is_ok());
/// assert!(Faults { throttled: 1.5, ..faults }.check().is_err());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Faults {
    /// Any call: it fails as `Unavailable`, and nothing was done.
    pub fail_before: f64,
    /// Any call: the store is too busy, `Unavailable`, and nothing was done.
    pub throttled: f64,
    /// A put: `AlreadyExists`, although nothing is stored (what S3 answers to creates that race with a delete).
    pub conflict: f64,
    /// A put or a delete: `Unavailable`, nothing is done yet, and it is done after one to eight later calls.
    pub late_apply: f64,
    /// A put or a delete: it is done, and the call never returns. The caller has to cancel it.
    pub apply_then_hang: f64,
    /// A put: it is done as far as it can be, and the answer is `Unavailable`, whatever it would have been.
    pub lost_put_reply: f64,
    /// A delete: it is done, and the answer is `Unavailable`.
    pub lost_delete_reply: f64,
    /// A get: fewer bytes than the object has.
    pub short_body: f64,
    /// A get: one bit is wrong.
    pub flipped_body: f64,
    /// A listing: as it would have been one to eight changes ago.
    ///
    /// Only changes made through the same [`Faulty`](super::Faulty) are undone, and only objects that were created
    /// through it come back. Configurations that look the same in `Debug` are taken for the same place.
    pub stale_listing: f64,
    /// A listing: it ends too early, without an error.
    pub partial_listing: f64,
    /// A listing: one of its items stands in it twice.
    pub duplicate_in_listing: f64,
    /// A listing: in another order.
    pub unsorted_listing: f64,
}

impl Faults {
    /// Every fault with its probability.
    #[must_use]
    pub fn by_kind(&self) -> BTreeMap<Fault, f64> {
        BTreeMap::from([
            (Fault::FailBefore, self.fail_before),
            (Fault::Throttled, self.throttled),
            (Fault::Conflict, self.conflict),
            (Fault::LateApply, self.late_apply),
            (Fault::ApplyThenHang, self.apply_then_hang),
            (Fault::LostPutReply, self.lost_put_reply),
            (Fault::LostDeleteReply, self.lost_delete_reply),
            (Fault::ShortBody, self.short_body),
            (Fault::FlippedBody, self.flipped_body),
            (Fault::StaleListing, self.stale_listing),
            (Fault::PartialListing, self.partial_listing),
            (Fault::DuplicateInListing, self.duplicate_in_listing),
            (Fault::UnsortedListing, self.unsorted_listing),
        ])
    }

    /// Checks that every probability is one.
    ///
    /// # Errors
    ///
    /// `Invalid`, naming the fault whose probability does not lie between 0 and 1.
    pub fn check(&self) -> Result<()> {
        for (fault, probability) in self.by_kind() {
            if !(0.0..=1.0).contains(&probability) {
                let what = format!("a probability of {probability} for the fault {fault:?}");
                return Err(Error::invalid(what, "a probability lies between 0 and 1"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_probability_is_refused_by_name() {
        for wrong in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            let error = Faults { short_body: wrong, ..Faults::default() }.check().unwrap_err().to_string();
            assert!(error.contains("ShortBody"), "{error}");
        }
        assert!(Faults { short_body: 1.0, late_apply: 0.5, ..Faults::default() }.check().is_ok());
    }
}
