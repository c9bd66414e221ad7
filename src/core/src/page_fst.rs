//! The map from page numbers to positions that a segment (ours, or one of libsql-wal) keeps as a finite state
//! transducer (crate `fst` 0.4, format 3): a reader of our own for keys of four bytes, and the writer of the crate.
//!
//! The crate's reader trusts the bytes: a node that points outside them makes it panic, and a checksum does not help
//! against bytes that somebody made up. This one steps through nodes of which every byte is looked up with a bound.
//!
//! Format: version (3) and type (0), 8 bytes each; the nodes; number of keys and address of the root, 8 bytes each;
//! a CRC-32C. A node is addressed by its last byte and read backwards from it. Its top two bits say what it is: `11`
//! one transition to the node just before it, `10` one transition with a distance and a value, `0f` any number of
//! transitions, `f` meaning that a key may end here. Address 0 is the node where a key ends and nothing follows. All
//! transitions lead to lower addresses. The value of a key is the sum of the values on its way.
//!
//! Invariants: a walk ends after four steps; every key has four bytes; keys rise. Anything else is malformed.

use crate::error::{Error, Result};
use crate::page::PageNo;

const VERSION: u64 = 3;
const HEAD_LEN: usize = 16;
const TRAILER_LEN: usize = 20;
const KEY_LEN: usize = 4;

/// The bytes that fit into the first byte of a node with one transition, most common first; 0 stands for none.
const COMMON_INPUTS: &[u8; 63] = b"te/oasripcnw.hlm-du012g=:bf3y5&_4v9678k%?xCDASFIBEjPTzRNM+LOqHG";

/// The bytes of a map that do not make sense: where, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    offset: u64,
    expected: &'static str,
}

impl Malformed {
    /// The error for a map that begins at `base` of the object `object`.
    pub(crate) fn at(self, object: &str, base: u64) -> Error {
        Error::corrupt(
            object,
            base + self.offset,
            self.expected,
            "bytes whose checksum holds but that do not fit",
        )
    }
}

/// A map from page numbers to positions.
#[derive(Clone)]
pub(crate) struct PageFst {
    bytes: Vec<u8>,
    len: u64,
}

impl std::fmt::Debug for PageFst {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PageFst({} pages)", self.len)
    }
}

impl PageFst {
    /// Checks the frame of a map, not yet its nodes.
    pub(crate) fn new(bytes: &[u8]) -> Result<Self, Malformed> {
        let malformed = |offset: usize, expected| Malformed { offset: offset as u64, expected };
        let word = |at: usize| Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        let (Some(version), Some(kind)) = (word(0), word(8)) else {
            return Err(malformed(0, "a finite state transducer of at least 36 bytes"));
        };
        let trailer = bytes.len().saturating_sub(TRAILER_LEN);
        if trailer < HEAD_LEN || version != VERSION || kind != 0 {
            return Err(malformed(0, "a finite state transducer of format 3 and type 0"));
        }
        let (Some(len), Some(root)) = (word(trailer), word(trailer + 8)) else {
            return Err(malformed(trailer, "the end of a finite state transducer"));
        };
        if root != trailer as u64 - 1 {
            return Err(malformed(trailer + 8, "a root that is the last node"));
        }
        let checked = fst::raw::Fst::new(bytes).and_then(|fst| fst.verify());
        checked.map_err(|_| malformed(bytes.len() - 4, "the CRC-32C of the finite state transducer"))?;
        Ok(Self { bytes: bytes.to_vec(), len })
    }

    /// The bytes of a map. Pages must rise strictly.
    pub(crate) fn build(entries: impl IntoIterator<Item = (PageNo, u64)>) -> Result<Vec<u8>> {
        let refused = |error: fst::Error| Error::invalid("an index of pages", format!("pages rise: {error}"));
        let mut builder = fst::MapBuilder::memory();
        for (page, position) in entries {
            builder.insert(page.get().to_be_bytes(), position).map_err(refused)?;
        }
        builder.into_inner().map_err(refused)
    }

    /// The bytes that were read.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many pages it says it has.
    pub(crate) const fn len(&self) -> u64 {
        self.len
    }

    /// The position of a page.
    pub(crate) fn get(&self, page: PageNo) -> Result<Option<u64>, Malformed> {
        let (mut node, mut position) = (self.node(self.root(), 0)?, 0_u64);
        for (depth, byte) in (1..).zip(page.get().to_be_bytes()) {
            let Some(step) = (0..node.len()).filter_map(|i| node.step(i)).find(|s| s.input == byte) else {
                return Ok(None);
            };
            position = node.add(position, step.output)?;
            node = self.node(step.target, depth)?;
        }
        node.add(position, node.final_output).map(Some)
    }

    /// All pages and their positions, in order, as far as they make sense. Nothing is allocated ahead, and the
    /// number of entries is bounded by nothing: a few bytes can hold four billion keys. Stop when it is enough.
    pub(crate) fn iter(&self) -> Iter<'_> {
        let mut iter = Iter { fst: self, path: Vec::with_capacity(KEY_LEN), last: 0, failed: None };
        match self.node(self.root(), 0) {
            Ok(node) => iter.path.push(Level { node, next: 0, prefix: 0, position: 0 }),
            Err(malformed) => iter.failed = Some(malformed),
        }
        iter
    }

    /// The first difference from these `len` entries, if any: the offset in the map, and what should stand there.
    pub(crate) fn differs_from(
        &self,
        len: u64,
        entries: impl Iterator<Item = (PageNo, u64)>,
    ) -> Option<(u64, String)> {
        let trailer = self.bytes.len() as u64 - TRAILER_LEN as u64;
        if self.len != len {
            return Some((trailer, format!("{len} pages")));
        }
        let mut found = self.iter();
        for (page, position) in entries {
            match found.next() {
                Some(Ok(entry)) if entry == (page, position) => {}
                Some(Err(malformed)) => return Some((malformed.offset, malformed.expected.to_string())),
                Some(Ok(_)) | None => return Some((trailer, format!("page {page} at position {position}"))),
            }
        }
        found.next().map(|_| (trailer, "no further page".to_string()))
    }

    const fn root(&self) -> usize {
        self.bytes.len() - TRAILER_LEN - 1
    }

    /// The node at an address, `depth` bytes into a key.
    fn node(&self, address: usize, depth: usize) -> Result<Node<'_>, Malformed> {
        let malformed = |expected| Malformed { offset: address as u64, expected };
        let nodes_end = self.root() + 1;
        let nodes = self.bytes.get(HEAD_LEN..nodes_end).unwrap_or_default();
        let node = Node::parse(nodes, address).ok_or_else(|| malformed("a node of the transducer"))?;
        let is_leaf = node.is_final && node.len() == 0;
        let is_inner = !node.is_final && (node.len() > 0 || depth == 0);
        if if depth == KEY_LEN { is_leaf } else { is_inner } {
            Ok(node)
        } else {
            Err(malformed("keys of exactly 4 bytes"))
        }
    }
}

/// One transition.
struct Step {
    input: u8,
    target: usize,
    output: u64,
}

/// A node, cut into its parts. The transitions stand last to first in each of them.
#[derive(Clone, Copy)]
struct Node<'a> {
    address: usize,
    is_final: bool,
    final_output: u64,
    inputs: &'a [u8],
    /// The one input that is not stored as a byte.
    common: Option<u8>,
    /// Distances to the targets, `distance_len` bytes each; empty when the target is the node just before.
    distances: &'a [u8],
    distance_len: usize,
    outputs: &'a [u8],
    output_len: usize,
    /// The address just behind what precedes the node: distances count back from here.
    begin: usize,
}

impl<'a> Node<'a> {
    /// `nodes` begins [`HEAD_LEN`] bytes behind the address 0.
    fn parse(nodes: &'a [u8], address: usize) -> Option<Self> {
        let mut node = Node {
            address,
            is_final: true,
            final_output: 0,
            inputs: &[],
            common: None,
            distances: &[],
            distance_len: 0,
            outputs: &[],
            output_len: 0,
            begin: address,
        };
        if address == 0 {
            return Some(node);
        }
        let mut rest = Backwards(nodes.get(..=address.checked_sub(HEAD_LEN)?)?);
        let state = rest.byte()?;
        let low = state & 0b11_1111;
        if state & 0b1000_0000 != 0 {
            node.is_final = false;
            node.common = COMMON_INPUTS.get(usize::from(low).wrapping_sub(1)).copied();
            if node.common.is_none() {
                node.inputs = rest.take(1)?;
            }
            if state & 0b0100_0000 == 0 {
                (node.distance_len, node.output_len) = rest.sizes()?;
                node.distances = rest.take(node.distance_len)?;
                if node.distances.is_empty() {
                    return None;
                }
                node.outputs = rest.take(node.output_len)?;
            }
        } else {
            node.is_final = state & 0b0100_0000 != 0;
            let count = match (low, if low == 0 { rest.byte()? } else { low }) {
                (0, 1) => 256,
                (_, count) => usize::from(count),
            };
            (node.distance_len, node.output_len) = rest.sizes()?;
            if count > 32 {
                // A table of the inputs, for speed. The inputs themselves say the same.
                rest.take(256)?;
            }
            node.inputs = rest.take(count)?;
            node.distances = rest.take(count * node.distance_len)?;
            node.outputs = rest.take(count * node.output_len)?;
            if node.is_final {
                node.final_output = number(rest.take(node.output_len)?);
            }
            // Without a distance a transition would lead to the node just before; only the state `11` says that.
            if count > 0 && node.distance_len == 0 {
                return None;
            }
        }
        node.begin = HEAD_LEN + rest.0.len();
        Some(node)
    }

    const fn len(&self) -> usize {
        self.inputs.len() + self.common.is_some() as usize
    }

    /// The transition with this number, counted in order of input; `None` when it leads nowhere.
    fn step(&self, i: usize) -> Option<Step> {
        let from_end = self.len().checked_sub(i + 1)?;
        let field = |bytes: &[u8], len: usize| Some(number(bytes.get(from_end * len..)?.get(..len)?));
        let input = match self.common {
            Some(input) => input,
            None => *self.inputs.get(from_end)?,
        };
        let target = if self.distances.is_empty() {
            self.begin.checked_sub(1)?
        } else {
            match field(self.distances, self.distance_len)? {
                0 => 0,
                distance => self.begin.checked_sub(usize::try_from(distance).ok()?)?,
            }
        };
        Some(Step { input, target, output: field(self.outputs, self.output_len)? })
    }

    fn add(&self, position: u64, output: u64) -> Result<u64, Malformed> {
        let overflow = Malformed { offset: self.address as u64, expected: "positions below 2^64" };
        position.checked_add(output).ok_or(overflow)
    }
}

/// Up to eight bytes as a number, lowest byte first.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Bytes that are read from their end.
struct Backwards<'a>(&'a [u8]);

impl<'a> Backwards<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (last, rest) = self.0.split_last()?;
        self.0 = rest;
        Some(*last)
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (rest, taken) = self.0.split_at_checked(self.0.len().checked_sub(len)?)?;
        self.0 = rest;
        Some(taken)
    }

    /// How many bytes a distance and an output take.
    fn sizes(&mut self) -> Option<(usize, usize)> {
        let byte = usize::from(self.byte()?);
        Some((byte >> 4, byte & 15)).filter(|(distance, output)| *distance <= 8 && *output <= 8)
    }
}

/// One node on the way to a key.
struct Level<'a> {
    node: Node<'a>,
    next: usize,
    prefix: u32,
    position: u64,
}

/// All entries of a map, in order.
pub(crate) struct Iter<'a> {
    fst: &'a PageFst,
    path: Vec<Level<'a>>,
    last: u32,
    failed: Option<Malformed>,
}

impl Iter<'_> {
    fn advance(&mut self) -> Result<Option<(PageNo, u64)>, Malformed> {
        loop {
            let depth = self.path.len();
            let Some(level) = self.path.last_mut() else { return Ok(None) };
            if level.next >= level.node.len() {
                self.path.pop();
                continue;
            }
            let malformed = |expected| Malformed { offset: level.node.address as u64, expected };
            let step =
                level.node.step(level.next).ok_or_else(|| malformed("a transition to a node before"))?;
            level.next += 1;
            let prefix = level.prefix << 8 | u32::from(step.input);
            let position = level.node.add(level.position, step.output)?;
            let node = self.fst.node(step.target, depth)?;
            if depth < KEY_LEN {
                self.path.push(Level { node, next: 0, prefix, position });
                continue;
            }
            // Keys rise from 1, so this also says that there is no page 0.
            let page = PageNo::new(prefix).filter(|page| page.get() > self.last);
            let page = page.ok_or_else(|| malformed("a page behind the one before"))?;
            self.last = prefix;
            return Ok(Some((page, node.add(position, node.final_output)?)));
        }
    }
}

impl Iterator for Iter<'_> {
    type Item = Result<(PageNo, u64), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = match self.failed.take() {
            Some(malformed) => Err(malformed),
            None => self.advance(),
        };
        if entry.is_err() {
            self.path.clear();
        }
        entry.transpose()
    }
}
