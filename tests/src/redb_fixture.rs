//! What `fixtures/redb-v1` holds besides the objects of `fixtures/v1/store`.

/// The path of an object that is no small one in version 2 either, in the shard without the other objects.
pub const LARGE: &str = "namespaces/other/large";

/// Its content: a pattern that compresses well and repeats at no power of two.
#[must_use]
pub fn large() -> Vec<u8> {
    (0..17_000_u32).flat_map(|n| (n % 251).to_le_bytes().into_iter().take(1)).collect()
}
