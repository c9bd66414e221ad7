//! The keys of a catalog's tables.
//!
//! A key of several names has the length of each but the last before it, in one byte: so no two rows of names give the same
//! key, whatever characters they hold, and all keys below a row of names begin alike.

use walkeep_core::{Epoch, FrameNo, SegmentKey, UnixMillis};

/// The beginning of the keys of everything below these names. A name is at most 255 bytes long: names are checked.
pub(super) fn below(names: &[&str]) -> Vec<u8> {
    let mut key = Vec::with_capacity(names.iter().map(|name| name.len() + 1).sum());
    for name in names {
        key.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        key.extend_from_slice(name.as_bytes());
    }
    key
}

/// The key of a name below others.
pub(super) fn of(names: &[&str], last: &str) -> Vec<u8> {
    let mut key = below(names);
    key.extend_from_slice(last.as_bytes());
    key
}

/// How many bytes a segment takes in a key.
const SEGMENT_LEN: usize = 4 + 8 + 8 + 8 + 1;

/// The key of a segment below a namespace: in the order of segments, newest first.
pub(super) fn of_segment(below: &[u8], segment: &SegmentKey) -> Vec<u8> {
    let mut key = Vec::with_capacity(below.len() + SEGMENT_LEN);
    key.extend_from_slice(below);
    key.extend_from_slice(&(u32::MAX - segment.epoch().get()).to_be_bytes());
    key.extend_from_slice(&(u64::MAX - segment.end().get()).to_be_bytes());
    key.extend_from_slice(&segment.start().get().to_be_bytes());
    key.extend_from_slice(&segment.time().get().to_be_bytes());
    key.push(segment.level());
    key
}

/// The segment of a key below a namespace; `None` for what is no such key.
pub(super) fn segment(below: &[u8], key: &[u8]) -> Option<SegmentKey> {
    let key = key.strip_prefix(below)?;
    let (epoch, rest) = key.split_first_chunk()?;
    let (end, rest) = rest.split_first_chunk()?;
    let (start, rest) = rest.split_first_chunk()?;
    let (time, rest) = rest.split_first_chunk()?;
    let [level] = rest else { return None };
    let epoch = Epoch(u32::MAX - u32::from_be_bytes(*epoch));
    let end = FrameNo::new(u64::MAX - u64::from_be_bytes(*end))?;
    let start = FrameNo::new(u64::from_be_bytes(*start))?;
    let time = UnixMillis(u64::from_be_bytes(*time));
    SegmentKey::new(epoch, start, end, time, *level).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_names_never_meet() {
        let names = ["a", "a:b", "b", "a:", ":b", "\u{1}", "\u{1}a", "a\u{1}b", ""];
        let mut keys = Vec::new();
        for one in names {
            keys.push(of(&[], one));
            for two in names {
                keys.push(of(&[one], two));
                keys.extend(names.map(|three| of(&[one, two], three)));
            }
        }
        // Keys of rows of one length, which are those of one table.
        for len in [0, 1, 2] {
            let mut table = Vec::new();
            for row in (0..names.len().pow(len + 1)).map(|n| {
                (0..=len).map(|place| names[n / names.len().pow(place) % names.len()]).collect::<Vec<_>>()
            }) {
                let (last, first) = row.split_last().unwrap();
                table.push(of(first, last));
            }
            let count = table.len();
            table.sort();
            table.dedup();
            assert_eq!(table.len(), count);
        }
    }

    #[test]
    fn segments_sort_as_they_do_and_read_back() {
        let frame = |n| FrameNo::new(n).unwrap();
        let mut segments = Vec::new();
        for (epoch, start, end, time, level) in [
            (1, 1, 9, 5, 0),
            (1, 1, 9, 5, 1),
            (1, 5, 9, 3, 0),
            (2, 10, 300, 9, 0),
            (1, 1, 4, 0, 99),
            (9, 1, 2, 1, 0),
        ] {
            let key = SegmentKey::new(Epoch(epoch), frame(start), frame(end), UnixMillis(time), level);
            segments.push(key.unwrap());
        }
        segments.sort();
        let below = below(&["shop"]);
        let keys = segments.iter().map(|one| of_segment(&below, one)).collect::<Vec<_>>();
        assert!(keys.is_sorted());
        let back = keys.iter().map(|key| segment(&below, key).unwrap()).collect::<Vec<_>>();
        assert_eq!(back, segments);
        assert_eq!(segment(&below, &keys[0][..keys[0].len() - 1]), None);
        assert_eq!(segment(&below, &[&keys[0][..], &[0]].concat()), None);
    }
}
