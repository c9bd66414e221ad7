//! Chance that can be replayed.
//!
//! Invariant: what befalls a call depends on the seed, the kind of call, the name it is about, and how many such
//! calls came before; not on what happens to other names at the same time. So a run with many tasks replays as far as
//! its own calls do. Each question has an answer of its own: to make one fault likelier does not move the others.

/// The dice of one call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dice {
    state: u64,
}

/// One step of `SplitMix64`.
const fn mixed(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Dice {
    pub(super) fn new(seed: u64, call: &str, name: &str, nth: u64) -> Self {
        Self { state: mixed(seed) }.with(call).with(name).of(nth)
    }

    fn with(self, text: &str) -> Self {
        text.bytes().fold(self.of(text.len() as u64), |dice, byte| dice.of(u64::from(byte)))
    }

    /// The dice of the nth part of what these dice are for.
    pub(super) const fn of(self, nth: u64) -> Self {
        Self { state: mixed(self.state ^ nth) }
    }

    /// Whether something of this probability happens.
    pub(super) fn happens(self, question: &str, probability: f64) -> bool {
        let fraction = (self.with(question).state >> 11) as f64 / (1_u64 << 53) as f64;
        fraction < probability
    }

    /// A number from 0 up to, not including, `end`; 0 when there is none.
    pub(super) fn below(self, question: &str, end: usize) -> usize {
        let drawn = self.with(question).state.checked_rem(end as u64);
        usize::try_from(drawn.unwrap_or_default()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_is_never_always_is_always_and_a_fifth_is_a_fifth() {
        let count = |probability| {
            (0..10_000).filter(|n| Dice::new(7, "put", "a", *n).happens("x", probability)).count()
        };
        assert_eq!(count(0.0), 0);
        assert_eq!(count(1.0), 10_000);
        let fifth = count(0.2);
        assert!((1_850..2_150).contains(&fifth), "{fifth}");
    }

    #[test]
    fn everything_that_a_call_is_made_of_matters() {
        let dice = Dice::new(1, "put", "ab", 1);
        for other in [
            Dice::new(2, "put", "ab", 1),
            Dice::new(1, "get", "ab", 1),
            Dice::new(1, "puta", "b", 1),
            Dice::new(1, "put", "ab", 2),
        ] {
            assert_ne!(dice.state, other.state);
        }
        assert_eq!(dice.state, Dice::new(1, "put", "ab", 1).state);
        assert_eq!(dice.below("x", 0), 0);
        assert!((0..100).all(|n| dice.of(n).below("x", 3) < 3));
    }
}
