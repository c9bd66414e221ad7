//! The first member, polling.
//!
//! Job: read the manifest, then the position, then list, then look at the manifest again.
//!
//! Not here: fetching. A segment that is deleted after the listing is not found, and the poll begins anew; so the content of
//! the listing is the content that counts. Neither commits that an opening may cut off: the reader of the other model.

use super::manifest::{Frame, Manifest, Member};
use super::rules::Rules;
use super::state::{Fault, State};

/// Who polls.
const MEMBER: Member = 0;

/// Where a poll stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Poller {
    /// Not polling.
    Idle,
    /// Reads the position next.
    HasManifest(Manifest),
    /// Lists next.
    Positioned {
        /// The manifest that was read.
        manifest: Manifest,
        /// How far the member has come.
        position: Frame,
    },
    /// Looks at the manifest again.
    Listed {
        /// The manifest that was read.
        manifest: Manifest,
        /// How far the member has come.
        position: Frame,
        /// The segments that were listed.
        raw: u8,
        /// The newest of them.
        end: Frame,
    },
    /// Was told that commits are gone.
    Told,
}

/// Whether the poller can go on.
pub(super) const fn can_go(state: &State) -> bool {
    !matches!(state.poller, Poller::Idle | Poller::Told) || state.left.polls > 0
}

/// Takes a step.
pub(super) fn take(rules: &Rules, state: &mut State) {
    state.poller = match state.poller.clone() {
        Poller::Idle | Poller::Told => {
            state.left.polls -= 1;
            Poller::HasManifest(state.manifest.clone())
        }
        Poller::HasManifest(manifest) => match &manifest.group {
            None => Poller::Idle,
            Some(group) => {
                let position = state.position(rules, group, MEMBER);
                match manifest.leads_on_from(position) || !rules.gone_is_told {
                    true => Poller::Positioned { manifest, position },
                    false => Poller::Told,
                }
            }
        },
        Poller::Positioned { manifest, position } => {
            Poller::Listed { manifest, position, raw: state.raw, end: state.durable }
        }
        Poller::Listed { manifest, position, raw, end } => {
            let is_current = state.manifest.version == manifest.version || !rules.manifest_looked_at_again;
            if is_current && !State::has_all(raw, position, end) {
                state.faults.insert(Fault::PassedOver);
            }
            Poller::Idle
        }
    };
}
