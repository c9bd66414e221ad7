//! The rules of the protocol, each as a switch.
//!
//! Job: let a test take one rule away and see whether data is lost.
//!
//! Invariants: `Guards::all()` is the protocol. A field that is false takes exactly one rule away; what actors do
//! instead is written at the field.
//!
//! Six rules cannot be made to fail alone within any bounds tried, because another rule catches what they let through.
//! The tests show both: that nothing breaks without one of them, and what does once the other is gone too.
//!
//! - `compactor_lists_before_manifest`, `compaction_not_while_pending`: an output is valid only together with all its
//!   inputs, and is otherwise fenced garbage. They matter once GC may delete inputs while an epoch is pending.
//! - `compaction_epoch_of_last_input`: the newest epoch does not own older frames, so the output is merely useless. It
//!   matters once that epoch may be pending, and may still begin below the output's end.
//! - `gc_lists_before_manifest`, `segments_of_unknown_epoch_kept`, `gc_publishes_every_time`: a publish that succeeds
//!   proves the manifest was the newest while GC listed; listing first means that every listed epoch is known; keeping
//!   unknown epochs means that not knowing one does no harm. Any one of the three is enough; without all three live
//!   segments are deleted.
//!
//! Not here: bounds of a search (`bounds`).

/// Which rules are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guards {
    /// A fresh nonce per open. Without: one nonce for all processes of a machine.
    pub fresh_nonce: bool,
    /// Claim pending, then list, then begin. Without: list, then claim and begin in one create.
    pub pending_claim_before_list: bool,
    /// After a failed or unknown claim only one's own nonce means success. Without: the expected epoch is enough.
    pub claim_won_only_by_own_nonce: bool,
    /// A begin that was not answered with success is looked up. Without: it is taken as done.
    pub lost_begin_is_looked_up: bool,
    /// A begin that may still land is sent again with the same frame. Without: the end of the log is listed again.
    pub begin_frame_fixed_once_sent: bool,
    /// A hole below a valid segment stops the opener. Without: it begins at the hole.
    pub hole_stops_the_opener: bool,
    /// A log that ends below the last begin − 1 stops the opener too: the manifest proves that there was more. Without:
    /// only a hole below a valid segment does. (`protocol.md` asks this of readers only.)
    pub opener_reaches_last_begin: bool,
    /// The local log must agree with what the opener found. Without: it is kept whenever it is long enough.
    pub local_log_compared: bool,

    /// An unknown PUT is repeated with the same key and bytes. Without: it may be cut again with other content.
    pub same_key_same_bytes_on_unknown: bool,
    /// An unknown PUT is not stored. Without: it is taken as stored.
    pub unknown_put_is_not_stored: bool,
    /// PUT k+1 only after k is stored. Without: the next one may overtake an unknown one.
    pub put_in_order: bool,
    /// Look for a newer manifest after the PUT. Without: before it.
    pub check_after_put: bool,
    /// A newer manifest acknowledges only if the log is still ours. Without: it is adopted unread.
    pub ownership_checked_on_new_manifest: bool,
    /// A pending epoch of somebody else fences. Without: only one that has begun.
    pub pending_claim_fences: bool,

    /// A reader lists, then reads the manifest. Without: the other way.
    pub reader_lists_before_manifest: bool,
    /// While an epoch is pending, frames from the last begin on are unconfirmed. Without: all are confirmed.
    pub pending_frames_unconfirmed: bool,
    /// Chain by cover. Without: by exact joins.
    pub chain_by_cover: bool,
    /// Only segments whose epoch owns their end are used. Without: those of any known epoch.
    pub fenced_segments_unused: bool,
    /// A reader whose latest frame is below the last begin − 1 answers nothing. Without: it answers.
    pub reader_reaches_last_begin: bool,
    /// A compacted segment is not used for a point inside it. Without: it is.
    pub compacted_interior_refused: bool,

    /// A compactor lists, then reads the manifest. Without: the other way.
    pub compactor_lists_before_manifest: bool,
    /// No compaction while an epoch is pending. Without: it goes on.
    pub compaction_not_while_pending: bool,
    /// Inputs are valid. Without: any known epoch will do.
    pub compaction_inputs_valid: bool,
    /// Inputs join. Without: they may leave frames out.
    pub compaction_inputs_join: bool,
    /// The output has the epoch of the last input. Without: the newest epoch of the table.
    pub compaction_epoch_of_last_input: bool,
    /// The output is one level up. Without: it keeps the level of its last input.
    pub compaction_raises_level: bool,

    /// GC lists, then reads the manifest. Without: the other way.
    pub gc_lists_before_manifest: bool,
    /// No GC while an epoch is pending. Without: it goes on.
    pub gc_not_while_pending: bool,
    /// Segments of an unknown epoch are kept. Without: they count as fenced.
    pub segments_of_unknown_epoch_kept: bool,
    /// Only strictly covered segments go. Without: equal ranges count as covered.
    pub gc_strict_cover: bool,
    /// Only a valid segment covers. Without: any does.
    pub gc_cover_is_valid: bool,
    /// A protected point up to the end of the covering segment keeps a covered one. Without: only one that lies in
    /// the covered segment itself.
    pub gc_protects_to_end_of_cover: bool,
    /// Publish the frontier, then delete. Without: read the manifest again, delete, publish afterwards.
    pub gc_publish_before_delete: bool,
    /// GC publishes before any delete. Without: only if it raises the frontier.
    pub gc_publishes_every_time: bool,
    /// A publish that was lost starts GC over. Without: it deletes all the same.
    pub gc_lost_publish_starts_over: bool,
    /// The frontier never goes back. Without: it may.
    pub frontier_never_back: bool,
    /// What was dropped does not come back. Without: any point before the frontier may be kept.
    pub dropped_stays_dropped: bool,
    /// GC publishes whatever it drops before it deletes. Without: only if it raises the frontier.
    pub gc_publishes_what_it_drops: bool,
    /// Kept points protect as others do. Without: only the frontier and pins do.
    pub kept_points_protect: bool,
}

impl Guards {
    /// The protocol as written.
    pub const fn all() -> Self {
        Self {
            fresh_nonce: true,
            pending_claim_before_list: true,
            claim_won_only_by_own_nonce: true,
            lost_begin_is_looked_up: true,
            begin_frame_fixed_once_sent: true,
            hole_stops_the_opener: true,
            opener_reaches_last_begin: true,
            local_log_compared: true,
            same_key_same_bytes_on_unknown: true,
            unknown_put_is_not_stored: true,
            put_in_order: true,
            check_after_put: true,
            ownership_checked_on_new_manifest: true,
            pending_claim_fences: true,
            reader_lists_before_manifest: true,
            pending_frames_unconfirmed: true,
            chain_by_cover: true,
            fenced_segments_unused: true,
            reader_reaches_last_begin: true,
            compacted_interior_refused: true,
            compactor_lists_before_manifest: true,
            compaction_not_while_pending: true,
            compaction_inputs_valid: true,
            compaction_inputs_join: true,
            compaction_epoch_of_last_input: true,
            compaction_raises_level: true,
            gc_lists_before_manifest: true,
            gc_not_while_pending: true,
            segments_of_unknown_epoch_kept: true,
            gc_strict_cover: true,
            gc_cover_is_valid: true,
            gc_protects_to_end_of_cover: true,
            gc_publish_before_delete: true,
            gc_publishes_every_time: true,
            gc_lost_publish_starts_over: true,
            frontier_never_back: true,
            dropped_stays_dropped: true,
            gc_publishes_what_it_drops: true,
            kept_points_protect: true,
        }
    }
}

impl Default for Guards {
    fn default() -> Self {
        Self::all()
    }
}
