//! The name of a segment in a bucket of libsql-wal.
//!
//! `{u64::MAX - end:020}-{start:020}-{time ms:020}`, all decimal: 62 characters. Listing names in byte order gives
//! the newest end first, and among segments with one end the widest (most compacted) first.
//!
//! Invariant: `Display`, `FromStr` and `Ord` agree: the order of two keys is the order of their names, and a name
//! parses exactly if it is what `Display` writes.

use std::cmp::Reverse;
use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::frame_no::FrameNo;
use crate::unix_millis::UnixMillis;

/// Which frames a segment in a bucket of libsql-wal holds, as its name says.
///
/// ```
/// use walkeep_core::libsql::ObjectKey;
///
/// let name = "18446744073709551558-00000000000000000024-00000001795246455146";
/// let key: ObjectKey = name.parse()?;
/// assert_eq!((key.start().get(), key.end().get()), (24, 57));
/// assert_eq!(key.to_string(), name);
/// # Ok::<(), walkeep_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ObjectKey {
    start: FrameNo,
    end: FrameNo,
    time: UnixMillis,
}

impl ObjectKey {
    /// The length of a name in bytes.
    pub const LEN: usize = 20 + 1 + 20 + 1 + 20;

    /// The key of the frames `start..=end`, sealed at `time`.
    ///
    /// # Errors
    ///
    /// `Invalid` when `start` is behind `end`.
    pub fn new(start: FrameNo, end: FrameNo, time: UnixMillis) -> Result<Self> {
        if start > end {
            return Err(Error::invalid(
                format!("segment {start}..={end}"),
                "a segment starts at or before its end",
            ));
        }
        Ok(Self { start, end, time })
    }

    /// The key of a range that is known not to be empty.
    pub(super) const fn of_range(start: FrameNo, end: FrameNo, time: UnixMillis) -> Self {
        Self { start, end, time }
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

    /// When the segment was sealed; of a compacted one, when its last input was.
    #[must_use]
    pub const fn time(&self) -> UnixMillis {
        self.time
    }

    /// Whether the frame lies in this segment.
    #[must_use]
    pub fn includes(&self, frame: FrameNo) -> bool {
        (self.start..=self.end).contains(&frame)
    }

    /// A string that sorts before the names of all segments that end at or before `end`, and behind those of all
    /// that end later: where to begin a listing of "end ≤ n".
    #[must_use]
    pub fn listing_bound(end: FrameNo) -> String {
        format!("{:020}", u64::MAX - end.get())
    }

    fn sort_key(&self) -> impl Ord {
        (Reverse(self.end), self.start, self.time)
    }
}

impl Ord for ObjectKey {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.sort_key().cmp(&other.sort_key())
    }
}

impl PartialOrd for ObjectKey {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { start, end, time } = self;
        write!(f, "{}-{:020}-{:020}", Self::listing_bound(*end), start.get(), time.get())
    }
}

impl FromStr for ObjectKey {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        parse(name).ok_or_else(|| {
            Error::invalid(
                format!("libsql-wal segment name {name:?}"),
                "it must be {u64::MAX - end:020}-{start:020}-{time ms:020} with start at or before end",
            )
        })
    }
}

fn parse(name: &str) -> Option<ObjectKey> {
    let mut fields = name.split('-');
    let mut number = || -> Option<u64> {
        let field = fields.next()?;
        (field.len() == 20 && field.bytes().all(|b| b.is_ascii_digit())).then(|| field.parse().ok())?
    };
    let end = FrameNo::new(u64::MAX - number()?)?;
    let start = FrameNo::new(number()?)?;
    let time = UnixMillis(number()?);
    if fields.next().is_some() {
        return None;
    }
    ObjectKey::new(start, end, time).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(start: u64, end: u64, time: u64) -> ObjectKey {
        let frame = |n| FrameNo::new(n).unwrap();
        ObjectKey::new(frame(start), frame(end), UnixMillis(time)).unwrap()
    }

    fn any_key() -> impl Strategy<Value = ObjectKey> {
        let number = prop_oneof![1..=20_u64, 1..=u64::MAX];
        let time = prop_oneof![0..=3_u64, any::<u64>()];
        (number.clone(), number, time).prop_map(|(a, b, time)| key(a.min(b), a.max(b), time))
    }

    proptest! {
        #[test]
        fn the_order_of_keys_is_the_order_of_their_names(a in any_key(), b in any_key()) {
            prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
            prop_assert_eq!(a == b, a.cmp(&b).is_eq());
        }

        #[test]
        fn a_name_reads_back(a in any_key()) {
            let name = a.to_string();
            prop_assert_eq!(name.len(), ObjectKey::LEN);
            prop_assert_eq!(name.parse::<ObjectKey>().unwrap(), a);
        }

        #[test]
        fn any_text_is_a_key_or_refused_and_has_one_spelling(
            name in prop_oneof!["\\PC{0,80}", "[0-9+-]{55,70}", "[01][0-9]{19}-[0-9]{20}-[0-9]{20}"],
        ) {
            if let Ok(key) = name.parse::<ObjectKey>() {
                prop_assert_eq!(key.to_string(), name);
            }
        }

        #[test]
        fn the_listing_bound_parts_ends(a in any_key(), n in 1..=u64::MAX) {
            let end = FrameNo::new(n).unwrap();
            prop_assert_eq!(a.to_string() > ObjectKey::listing_bound(end), a.end() <= end);
            prop_assert!(a.to_string() > ObjectKey::listing_bound(a.end()));
        }
    }

    #[test]
    fn newest_comes_first_and_among_one_end_the_widest() {
        let mut keys = vec![key(5, 9, 1), key(1, 4, 0), key(10, 11, 2), key(1, 9, 1)];
        keys.sort();
        assert_eq!(keys, [key(10, 11, 2), key(1, 9, 1), key(5, 9, 1), key(1, 4, 0)]);
    }

    #[test]
    fn names_that_are_nearly_right_are_refused() {
        let name = key(2, 3, 4).to_string();
        for wrong in [
            String::new(),
            "1-2-3".to_string(),
            name[1..].to_string(),
            name[..41].to_string(),
            format!("{name}0"),
            format!("{name}-"),
            format!("{name}/"),
            name.replacen("-0", "-+", 1),
            name.replacen("18446744073709551612", "18446744073709551616", 1),
            name.replacen("18446744073709551612", "18446744073709551615", 1),
            name.replacen("-00000000000000000002", "-00000000000000000000", 1),
            name.replacen("-00000000000000000002", "-00000000000000000004", 1),
        ] {
            assert!(wrong.parse::<ObjectKey>().is_err(), "{wrong}");
        }
    }
}
