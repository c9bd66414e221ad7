//! A store that can be away: every call fails, and nothing is done.

use std::sync::Arc;

use walkeep::backends::Memory;
use walkeep::backends::faulty::{Faults, Faulty};
use walkeep::core::Backend;

/// An empty store that can be away. It is there at first.
///
/// # Panics
///
/// Never: no faults are valid faults.
#[must_use]
pub fn store() -> Arc<Faulty<Memory>> {
    Arc::new(Faulty::new(Memory::new(), Faults::default(), 0).unwrap())
}

/// Lets a store be away, or there again.
///
/// # Panics
///
/// Never: these are valid faults.
pub fn set_away<B: Backend>(store: &Faulty<B>, away: bool) {
    let fail_before = if away { 1.0 } else { 0.0 };
    store.set_faults(Faults { fail_before, ..Faults::default() }).unwrap();
}
