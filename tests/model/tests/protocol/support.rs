//! What the searches share: a few bounds, and the things that a test can ask.

#![expect(
    clippy::print_stdout,
    reason = "a search says how many states it saw, and shows its counterexample"
)]

use walkeep_model::bounds::Bounds;
use walkeep_model::guards::Guards;
use walkeep_model::model::Protocol;
use walkeep_model::search::{self, Outcome};

/// The protocol as written.
pub(crate) const ALL: Guards = Guards::all();

/// Two processes open a log that nobody has opened before.
pub(crate) const EMPTY_LOG: Bounds =
    Bounds { frames: 2, writers: 2, opens: 2, time_outs: 1, ..Bounds::none() };

/// One frame is acknowledged; a second process opens while the first goes on.
pub(crate) const TAKE_OVER: Bounds =
    Bounds { frames: 2, writers: 2, opens: 1, time_outs: 1, history: &[1], ..Bounds::none() };

/// The same with room for one frame more, so that the new writer can write above the old one's end.
pub(crate) const LONG_TAKE_OVER: Bounds = Bounds { frames: 3, ..TAKE_OVER };

/// Three frames in three segments, and nobody writes.
pub(crate) const AT_REST: Bounds = Bounds { frames: 3, history: &[1, 1, 1], ..Bounds::none() };

/// Every state is visited, no promise breaks, and every path named is reached.
pub(crate) fn holds(name: &str, bounds: Bounds, paths: &[&str]) -> Outcome {
    let outcome = search::exhaust(Protocol { guards: ALL, bounds });
    println!("{name}: {} states", outcome.states);
    assert!(outcome.failures.is_empty(), "{name}: {:#?}", outcome.failures);
    for path in paths {
        assert!(outcome.reached.contains(path), "{name}: no state in which {path}");
    }
    outcome
}

/// The whole protocol holds within these bounds, and without a rule this promise breaks.
pub(crate) fn is_needed(without: Guards, bounds: Bounds, promise: &'static str) {
    let kept = search::exhaust(Protocol { guards: ALL, bounds });
    assert!(kept.failures.is_empty(), "{:#?}", kept.failures);
    breaks(without, bounds, promise);
}

/// This promise breaks.
pub(crate) fn breaks(guards: Guards, bounds: Bounds, promise: &'static str) {
    let outcome = search::first_failure_of(Protocol { guards, bounds }, promise);
    let Some(actions) = outcome.failures.get(promise) else {
        panic!("{promise}: kept in all {} states", outcome.states);
    };
    println!("{promise}: broken after {} states", outcome.states);
    for (number, action) in actions.iter().enumerate() {
        println!("  {:2} {action:?}", number + 1);
    }
}

/// This promise is kept in every state, whatever becomes of the others.
pub(crate) fn keeps(guards: Guards, bounds: Bounds, promise: &'static str) {
    let outcome = search::first_failure_of(Protocol { guards, bounds }, promise);
    assert!(!outcome.failures.contains_key(promise), "{promise}: {:#?}", outcome.failures.get(promise));
    println!("{promise}: kept in all {} states", outcome.states);
}

/// No promise breaks although rules are missing: something else catches it within these bounds.
pub(crate) fn breaks_nothing(without: Guards, bounds: Bounds) {
    let outcome = search::exhaust(Protocol { guards: without, bounds });
    assert!(outcome.failures.is_empty(), "{:#?}", outcome.failures);
    println!("nothing broken in all {} states", outcome.states);
}
