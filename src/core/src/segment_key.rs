//! The name of a stored segment.
//!
//! `{u32::MAX - epoch:010}-{u64::MAX - end:020}-{start:020}-{commit time ms:020}-{level:02}`, all decimal. Listing
//! names in byte order gives the newest epoch first, in it the newest end, and among segments with one end the
//! widest (most compacted) first.
//!
//! Invariant: `Display`, `FromStr` and `Ord` agree: the order of two keys is the order of their names, and a name
//! parses exactly if it is what `Display` writes.

use std::cmp::Reverse;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::epoch::Epoch;
use crate::error::{Error, Result};
use crate::frame_no::FrameNo;
use crate::unix_millis::UnixMillis;

/// What a stored segment is, as its name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SegmentKey {
    epoch: Epoch,
    start: FrameNo,
    end: FrameNo,
    time: UnixMillis,
    level: u8,
}

impl SegmentKey {
    /// The length of a name in bytes.
    pub const LEN: usize = 10 + 1 + 20 + 1 + 20 + 1 + 20 + 1 + 2;
    /// The highest compaction level a name can hold.
    pub const LEVEL_MAX: u8 = 99;

    /// The key of the frames `start..=end`, written in `epoch`, whose last commit was at `time`, compacted `level`
    /// times (0 = as the writer sealed it).
    ///
    /// # Errors
    ///
    /// `Invalid` when `start` is behind `end`, `end` is the last possible frame, or `level` is over
    /// [`SegmentKey::LEVEL_MAX`].
    pub fn new(epoch: Epoch, start: FrameNo, end: FrameNo, time: UnixMillis, level: u8) -> Result<Self> {
        if start > end || end == FrameNo::MAX || level > Self::LEVEL_MAX {
            return Err(Error::invalid(
                format!("segment {start}..={end} of level {level}"),
                "a segment starts at or before its end, leaves a frame behind it, and has a level of at most 99",
            ));
        }
        Ok(Self { epoch, start, end, time, level })
    }

    /// The epoch it was written in; for a compacted segment that of its last input.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The first frame.
    #[must_use]
    pub const fn start(&self) -> FrameNo {
        self.start
    }

    /// The last frame: a commit.
    #[must_use]
    pub const fn end(&self) -> FrameNo {
        self.end
    }

    /// The time of the last commit.
    #[must_use]
    pub const fn time(&self) -> UnixMillis {
        self.time
    }

    /// How often it was compacted; 0 is as the writer sealed it.
    #[must_use]
    pub const fn level(&self) -> u8 {
        self.level
    }

    /// Whether the frame lies in this segment.
    #[must_use]
    pub fn includes(&self, frame: FrameNo) -> bool {
        (self.start..=self.end).contains(&frame)
    }

    /// A string that sorts before the names of all segments of `epoch` that end at or before `end`, and behind
    /// those of all that end later: where to begin a listing of "end ≤ n".
    #[must_use]
    pub fn listing_bound(epoch: Epoch, end: FrameNo) -> String {
        format!("{:010}-{:020}", u32::MAX - epoch.get(), u64::MAX - end.get())
    }

    fn sort_key(&self) -> impl Ord {
        (Reverse(self.epoch), Reverse(self.end), self.start, self.time, self.level)
    }
}

impl Ord for SegmentKey {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.sort_key().cmp(&other.sort_key())
    }
}

impl PartialOrd for SegmentKey {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for SegmentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { epoch, start, end, time, level } = self;
        let bound = Self::listing_bound(*epoch, *end);
        write!(f, "{bound}-{:020}-{:020}-{level:02}", start.get(), time.get())
    }
}

impl From<SegmentKey> for String {
    fn from(key: SegmentKey) -> Self {
        key.to_string()
    }
}

impl TryFrom<String> for SegmentKey {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl FromStr for SegmentKey {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        parse(name).ok_or_else(|| {
            Error::invalid(
                format!("segment name {name:?}"),
                "it must be {u32::MAX - epoch:010}-{u64::MAX - end:020}-{start:020}-{time ms:020}-{level:02}",
            )
        })
    }
}

fn parse(name: &str) -> Option<SegmentKey> {
    let mut fields = name.split('-');
    let mut number = |width: usize| -> Option<u64> {
        let field = fields.next()?;
        (field.len() == width && field.bytes().all(|b| b.is_ascii_digit())).then(|| field.parse().ok())?
    };
    let epoch = Epoch(u32::MAX - u32::try_from(number(10)?).ok()?);
    let end = FrameNo::new(u64::MAX - number(20)?)?;
    let start = FrameNo::new(number(20)?)?;
    let time = UnixMillis(number(20)?);
    let level = u8::try_from(number(2)?).ok()?;
    if fields.next().is_some() {
        return None;
    }
    SegmentKey::new(epoch, start, end, time, level).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(epoch: u32, start: u64, end: u64, time: u64, level: u8) -> SegmentKey {
        let frame = |n| FrameNo::new(n).unwrap();
        SegmentKey::new(Epoch(epoch), frame(start), frame(end), UnixMillis(time), level).unwrap()
    }

    fn any_key() -> impl Strategy<Value = SegmentKey> {
        let number = prop_oneof![1..=20_u64, 1..u64::MAX];
        (prop_oneof![0..5_u32, any::<u32>()], number.clone(), number.clone(), number, 0..=99_u8)
            .prop_map(|(epoch, a, b, time, level)| key(epoch, a.min(b), a.max(b), time, level))
    }

    proptest! {
        #[test]
        fn the_order_of_keys_is_the_order_of_their_names(a in any_key(), b in any_key()) {
            prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
        }

        #[test]
        fn a_name_reads_back(a in any_key()) {
            let name = a.to_string();
            prop_assert_eq!(name.len(), SegmentKey::LEN);
            prop_assert_eq!(name.parse::<SegmentKey>().unwrap(), a);
        }

        #[test]
        fn any_text_is_a_key_or_refused_and_has_one_spelling(name in "[0-9a-z+-]{0,90}") {
            if let Ok(key) = name.parse::<SegmentKey>() {
                prop_assert_eq!(key.to_string(), name);
            }
        }

        #[test]
        fn the_listing_bound_parts_ends(a in any_key(), n in 1..=u64::MAX) {
            let end = FrameNo::new(n).unwrap();
            let behind = a.to_string() > SegmentKey::listing_bound(a.epoch(), end);
            prop_assert_eq!(behind, a.end() <= end);
        }
    }

    #[test]
    fn newest_comes_first_and_among_one_end_the_widest() {
        let mut keys = vec![key(1, 1, 9, 0, 1), key(1, 5, 9, 0, 0), key(2, 10, 11, 0, 0), key(1, 1, 4, 0, 0)];
        let sorted = vec![keys[2], keys[0], keys[1], keys[3]];
        keys.sort();
        assert_eq!(keys, sorted);
    }

    #[test]
    fn names_that_are_nearly_right_are_refused() {
        let name = key(1, 2, 3, 4, 0).to_string();
        for wrong in [
            name[1..].to_string(),
            format!("{name}0"),
            format!("{name}-"),
            name.replace("-0", "-+"),
            name.replacen("4294967294", "9294967294", 1),
        ] {
            assert!(wrong.parse::<SegmentKey>().is_err(), "{wrong}");
        }
        let start_behind_end = format!("{:010}-{:020}-{:020}-{:020}-00", 0, u64::MAX - 3, 4, 0);
        assert!(start_behind_end.parse::<SegmentKey>().is_err());
    }

    #[test]
    fn a_key_includes_both_ends() {
        let key = key(1, 2, 4, 0, 0);
        let included = (1..=5).map(|n| key.includes(FrameNo::new(n).unwrap())).collect::<Vec<_>>();
        assert_eq!(included, [false, true, true, true, false]);
    }
}
