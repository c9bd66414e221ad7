//! The rules about followers, each as a switch.
//!
//! Invariants: `Rules::all()` is the protocol. A field that is false takes exactly one rule away; what happens instead is
//! written at the field.

/// Which rules are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// A member joins by a create of the manifest. Without: by its first acknowledgement alone.
    pub member_stands_in_manifest: bool,
    /// A group begins, and a member joins, at the frontier or behind it. Without: anywhere.
    pub begins_behind_frontier: bool,
    /// A manifest that was sent and not heard of is looked for. Without: whoever joins takes it for done.
    pub lost_join_is_looked_up: bool,
    /// Only durable frames are acknowledged. Without: also the one behind them.
    pub acknowledged_is_durable: bool,
    /// The largest acknowledgement counts. Without: the one that landed last.
    pub largest_counts: bool,
    /// Smaller acknowledgements go after the new one is there. Without: before it is sent.
    pub smaller_go_afterwards: bool,
    /// An acknowledgement that was not heard of is sent again. Without: it is taken for done.
    pub unknown_is_sent_again: bool,
    /// An acknowledgement counts for the life of a member that it was made in. Without: for every one.
    pub counts_in_its_life: bool,
    /// Who deletes a group means the life that it has seen. Without: whatever has that name.
    pub deletes_what_was_meant: bool,

    /// The frontier waits for followers. Without: it rises to any end.
    pub frontier_waits: bool,
    /// It waits for the slowest member. Without: for the fastest.
    pub slowest_counts: bool,
    /// A group that nobody has joined holds what is behind its beginning. Without: nothing.
    pub empty_group_holds: bool,
    /// A group past its cap keeps what the cap allows. Without: nothing.
    pub cap_is_a_floor: bool,
    /// The manifest in which the frontier passes a follower marks its group. Without: it does not.
    pub passed_is_marked: bool,
    /// The frontier is published before anything is deleted. Without: after it.
    pub published_first: bool,
    /// A publish that was lost to somebody else's starts over. Without: what was planned is deleted all the same.
    pub lost_publish_starts_over: bool,
    /// A collection leaves acknowledgements of members that joined after the manifest it has read. Without: it takes them for
    /// those of members that are gone.
    pub newer_lives_kept: bool,

    /// A position before the frontier is told that commits are gone. Without: it gets what is left.
    pub gone_is_told: bool,
    /// A poll is answered if the manifest is the same after the listing. Without: in any case.
    pub manifest_looked_at_again: bool,
}

impl Rules {
    /// The protocol as written.
    #[must_use]
    pub const fn all() -> Self {
        Self {
            member_stands_in_manifest: true,
            begins_behind_frontier: true,
            lost_join_is_looked_up: true,
            acknowledged_is_durable: true,
            largest_counts: true,
            smaller_go_afterwards: true,
            unknown_is_sent_again: true,
            counts_in_its_life: true,
            deletes_what_was_meant: true,
            frontier_waits: true,
            slowest_counts: true,
            empty_group_holds: true,
            cap_is_a_floor: true,
            passed_is_marked: true,
            published_first: true,
            lost_publish_starts_over: true,
            newer_lives_kept: true,
            gone_is_told: true,
            manifest_looked_at_again: true,
        }
    }
}
