//! Transactions that can be told from their numbers alone: whoever knows the last one knows the whole database.

use std::collections::BTreeMap;

/// The key that holds the number of the last transaction.
pub const LAST: &str = "last";

/// What transaction `number` sets.
#[must_use]
pub fn transaction(number: u64) -> Vec<(String, String)> {
    let mut sets = vec![(LAST.to_string(), number.to_string())];
    for which in 0..=number % 4 {
        let mixed = (number * 4 + which).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let value = format!("{number}.{which} ").repeat(1 + (mixed >> 40) as usize % 30);
        sets.push((format!("key {}", (mixed >> 20) % 200), value));
    }
    sets
}

/// The database after the transactions `1..=last`.
#[must_use]
pub fn after(last: u64) -> BTreeMap<String, String> {
    (1..=last).flat_map(transaction).collect()
}
