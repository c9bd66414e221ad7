//! What stands beside a replica: of what it is a replica, and which commit its file holds.
//!
//! Invariant: the state names two versions, the newest and the one before it. It is replaced before the replica's file
//! is, so that at any moment the file is one of the two, and its content tells which.
//!
//! Not here: whether the file is what the state says. That takes reading the file.

use zerocopy::little_endian::{U16, U32, U64, U128};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::epoch::Epoch;
use crate::error::{Error, Result};
use crate::frame_no::FrameNo;
use crate::ids::LogId;
use crate::namespace::Namespace;
use crate::page::{PageCount, PageSize};
use crate::page_hash::{HashSeed, StateChecksum};
use crate::unix_millis::UnixMillis;

/// The length of a state in bytes.
pub const REPLICA_STATE_LEN: usize = 320;

const MAGIC: [u8; 8] = *b"WALKREP\0";
const VERSION: u16 = 1;
const NAMESPACE_MAX: usize = 128;

/// One version of a replica's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaVersion {
    /// The log that it is of.
    pub log_id: LogId,
    /// The seed of that log's page hashes.
    pub hash_seed: HashSeed,
    /// The size of a page.
    pub page_size: PageSize,
    /// The epoch that the commit's frame belongs to.
    pub epoch: Epoch,
    /// The commit that the database is after.
    pub frame_no: FrameNo,
    /// The time of that commit.
    pub time: UnixMillis,
    /// The size of the database.
    pub size: PageCount,
    /// The state checksum of the database.
    pub state: StateChecksum,
}

/// What stands beside a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaState {
    /// The namespace that it is a replica of.
    pub namespace: Namespace,
    /// What its file is, or is about to become.
    pub newest: ReplicaVersion,
    /// What its file was before, and may still be.
    pub before: Option<ReplicaVersion>,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawVersion {
    log_id: U128,
    hash_seed: U64,
    frame_no: U64,
    time: U64,
    state: U64,
    page_size: U32,
    size: U32,
    epoch: U32,
    reserved: [u8; 12],
}

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawState {
    magic: [u8; 8],
    version: U16,
    flags: U16,
    namespace_len: u8,
    reserved_a: [u8; 3],
    namespace: [u8; NAMESPACE_MAX],
    newest: RawVersion,
    before: RawVersion,
    reserved_b: [u8; 28],
    crc: U32,
}

const _: () = assert!(size_of::<RawVersion>() == 72);
const _: () = assert!(size_of::<RawState>() == REPLICA_STATE_LEN);

impl ReplicaState {
    /// The bytes of the state.
    #[must_use]
    pub fn encode(&self) -> [u8; REPLICA_STATE_LEN] {
        let mut raw = RawState::new_zeroed();
        (raw.magic, raw.version) = (MAGIC, U16::new(VERSION));
        let name = self.namespace.as_str().as_bytes();
        // A namespace is never longer than its place.
        raw.namespace_len = u8::try_from(name.len()).unwrap_or(u8::MAX);
        for (place, byte) in raw.namespace.iter_mut().zip(name) {
            *place = *byte;
        }
        raw.newest = RawVersion::of(&self.newest);
        if let Some(before) = &self.before {
            raw.before = RawVersion::of(before);
        }
        raw.crc = U32::new(raw.computed_crc());
        zerocopy::transmute!(raw)
    }

    /// Reads the state that stands in the file `file`.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` when the file is not the state of a replica at all; `Invalid` when it is of a version that this
    /// code does not know; `Corrupt` when it is damaged.
    pub fn decode(file: &str, bytes: &[u8]) -> Result<Self> {
        if bytes.get(..MAGIC.len()) != Some(&MAGIC) {
            let what = format!("the file {file}, which is not the state of a replica,");
            return Err(Error::AlreadyExists { what });
        }
        let damaged = |offset: usize, expected: &str, found: String| {
            Error::corrupt(file, offset as u64, expected.to_string(), found)
        };
        let raw = RawState::read_from_bytes(bytes).map_err(|_| {
            damaged(0, &format!("a state of {REPLICA_STATE_LEN} bytes"), format!("{} bytes", bytes.len()))
        })?;
        if raw.computed_crc() != raw.crc.get() {
            let expected = format!("CRC-32 {:08x}", raw.computed_crc());
            return Err(damaged(REPLICA_STATE_LEN - 4, &expected, format!("{:08x}", raw.crc.get())));
        }
        if raw.version.get() != VERSION || raw.flags.get() != 0 {
            let what = format!("the state {file} of version {}, flags {}", raw.version, raw.flags);
            return Err(Error::invalid(what, format!("this walkeep knows version {VERSION} without flags")));
        }
        let name = raw.namespace.get(..usize::from(raw.namespace_len)).and_then(|b| str::from_utf8(b).ok());
        let namespace = name.and_then(|name| Namespace::new(name).ok());
        let namespace = namespace.ok_or_else(|| damaged(12, "the name of a namespace", "another".into()))?;
        let newest = raw.newest.decode();
        let newest = newest.ok_or_else(|| damaged(144, "a version of a replica", "another".into()))?;
        let before = match raw.before.frame_no.get() {
            0 => None,
            _ => {
                let before = raw.before.decode();
                Some(before.ok_or_else(|| damaged(216, "a version of a replica", "another".into()))?)
            }
        };
        Ok(Self { namespace, newest, before })
    }
}

impl RawState {
    fn computed_crc(&self) -> u32 {
        let bytes = self.as_bytes();
        crc32fast::hash(bytes.get(..REPLICA_STATE_LEN - 4).unwrap_or(bytes))
    }
}

impl RawVersion {
    fn of(version: &ReplicaVersion) -> Self {
        Self {
            log_id: U128::new(version.log_id.0),
            hash_seed: U64::new(version.hash_seed.0),
            frame_no: U64::new(version.frame_no.get()),
            time: U64::new(version.time.get()),
            state: U64::new(version.state.0),
            page_size: U32::new(version.page_size.bytes_u32()),
            size: U32::new(version.size.get()),
            epoch: U32::new(version.epoch.get()),
            reserved: [0; 12],
        }
    }

    fn decode(&self) -> Option<ReplicaVersion> {
        Some(ReplicaVersion {
            log_id: LogId(self.log_id.get()),
            hash_seed: HashSeed(self.hash_seed.get()),
            page_size: PageSize::new(self.page_size.get()).ok()?,
            epoch: Epoch(self.epoch.get()),
            frame_no: FrameNo::new(self.frame_no.get())?,
            time: UnixMillis(self.time.get()),
            size: PageCount(self.size.get()),
            state: StateChecksum(self.state.get()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(before: bool) -> ReplicaState {
        let version = |frame: u64| ReplicaVersion {
            log_id: LogId(7 << 100),
            hash_seed: HashSeed(8),
            page_size: PageSize::DEFAULT,
            epoch: Epoch(5),
            frame_no: FrameNo::new(frame).unwrap(),
            time: UnixMillis(frame * 1000),
            size: PageCount(3),
            state: StateChecksum(frame << 40),
        };
        let namespace = "shop".parse().unwrap();
        ReplicaState { namespace, newest: version(12), before: before.then(|| version(11)) }
    }

    #[test]
    fn a_state_is_read_as_it_was_written() {
        for before in [true, false] {
            let state = state(before);
            assert_eq!(ReplicaState::decode("x", &state.encode()).unwrap(), state);
        }
        let long = ReplicaState { namespace: "n".repeat(128).parse().unwrap(), ..state(true) };
        assert_eq!(ReplicaState::decode("x", &long.encode()).unwrap(), long);
    }

    #[test]
    fn the_bytes_are_those_of_the_format() {
        let bytes = state(true).encode();
        assert_eq!(&bytes[..16], b"WALKREP\0\x01\0\0\0\x04\0\0\0");
        assert_eq!(&bytes[16..22], b"shop\0\0");
        let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        let half = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!(u128::from_le_bytes(bytes[144..160].try_into().unwrap()), 7 << 100);
        assert_eq!([word(160), word(168), word(176), word(184)], [8, 12, 12_000, 12 << 40]);
        assert_eq!([half(192), half(196), half(200), half(204)], [4096, 3, 5, 0]);
        assert_eq!([word(240), word(248)], [11, 11_000]);
        assert_eq!(half(316), crc32fast::hash(&bytes[..316]));
    }

    #[test]
    fn every_damaged_byte_is_noticed() {
        let good = state(true).encode();
        for at in 0..good.len() {
            let mut bytes = good;
            bytes[at] ^= 0x10;
            let error = ReplicaState::decode("x", &bytes).unwrap_err();
            let foreign = at < 8;
            assert_eq!(matches!(error, Error::AlreadyExists { .. }), foreign, "{at}: {error}");
            assert_eq!(matches!(error, Error::Corrupt(_)), !foreign, "{at}: {error}");
        }
        for len in 8..good.len() {
            assert!(matches!(ReplicaState::decode("x", &good[..len]), Err(Error::Corrupt(_))), "{len}");
        }
    }

    #[test]
    fn another_version_is_refused_with_both_numbers() {
        let mut bytes = state(true).encode();
        bytes[8] = 2;
        let crc = crc32fast::hash(&bytes[..316]);
        bytes[316..].copy_from_slice(&crc.to_le_bytes());
        let error = ReplicaState::decode("x", &bytes).unwrap_err().to_string();
        assert!(error.contains("version 2") && error.contains("version 1"), "{error}");
    }
}
