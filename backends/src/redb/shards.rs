//! A set of shards, open.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use redb::{ReadTransaction, WriteTransaction};
use walkeep_core::shards::{ShardCount, ShardLayout, ShardNo, ShardPurpose, ShardSetState};
use walkeep_core::{Directory, Error, Random, Result, ShardSetId};

use super::failure::Step;
use super::misplaced::{Found, Misplaced};
use super::opening;
use super::options::ShardsOptions;
use super::set_lock::SetLock;
use super::shard::Shard;
use super::shrunk::Shrunk;

/// A set of shards, open for this process alone.
pub struct Shards {
    name: String,
    layout: ShardLayout,
    shards: Vec<Shard>,
    // Behind the shards: they are closed before somebody else can have the set.
    _lock: Option<SetLock>,
}

impl fmt::Debug for Shards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shards({}, {:?})", self.name, self.layout)
    }
}

impl Shards {
    /// Opens the set in a directory, or creates it; `name` is the directory's, for messages. This blocks.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is none and none is to be created. `Unavailable` when another process has it open.
    /// `Invalid` when what is there is not what is wanted: each says what to do, and nothing was changed. `Corrupt`, `Io`,
    /// `Exhausted`; `Unknown` when a sync failed: open it again.
    pub fn open(
        directory: &Arc<dyn Directory>,
        name: &Path,
        random: &dyn Random,
        options: &ShardsOptions,
    ) -> Result<Self> {
        let (layout, shards, lock) = opening::open(directory, name, random, options)?;
        Ok(Self { name: name.display().to_string(), layout, shards, _lock: Some(lock) })
    }

    /// A set in memory, gone with the process.
    ///
    /// # Errors
    ///
    /// `Io` when the source of randomness fails.
    pub fn in_memory(purpose: ShardPurpose, shards: ShardCount, random: &dyn Random) -> Result<Self> {
        let id = ShardSetId::random(random)?;
        let version = ShardLayout::version_if_new(purpose);
        let layout = ShardLayout { version, id, purpose, shards, state: ShardSetState::Ready };
        let cache_bytes = ShardsOptions::new(purpose).cache_of_each(shards);
        let shard = |no| Shard::in_memory(no, format!("shard {no} in memory"), cache_bytes);
        let shards = shards.all().map(shard).collect::<Result<_>>()?;
        Ok(Self { name: "memory".into(), layout, shards, _lock: None })
    }

    /// What the set is.
    #[must_use]
    pub const fn layout(&self) -> &ShardLayout {
        &self.layout
    }

    /// How many shards there are.
    #[must_use]
    pub const fn count(&self) -> ShardCount {
        self.layout.shards
    }

    /// The shard that a name belongs to.
    #[must_use]
    pub fn home_of(&self, name: &str) -> ShardNo {
        self.layout.shards.shard_of(name)
    }

    /// All shards, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Shard> {
        self.shards.iter()
    }

    /// A shard.
    ///
    /// # Errors
    ///
    /// `Invalid` when the set has no shard of this number.
    pub fn shard(&self, no: ShardNo) -> Result<&Shard> {
        self.shards.get(usize::from(no.0)).ok_or_else(|| {
            Error::invalid(format!("shard {no} of {}", self.name), format!("it has {} shards", self.count()))
        })
    }

    /// Gives the space that is not needed any more back to the file system, one shard after the other. Each waits for
    /// nobody, and everybody else waits for it: minutes, where there are many gigabytes.
    ///
    /// # Errors
    ///
    /// As [`Shard::compact`].
    pub fn compact(&self) -> Result<Shrunk> {
        let bytes_before = self.bytes()?;
        self.shards.iter().try_for_each(|shard| shard.compact().map(drop))?;
        Ok(Shrunk { bytes_before, bytes: self.bytes()? })
    }

    /// How long the files of the shards are together; 0 in memory.
    ///
    /// # Errors
    ///
    /// `Io`.
    pub fn bytes(&self) -> Result<u64> {
        self.shards.iter().map(Shard::bytes).sum()
    }

    /// Reads in the shard that a name belongs to.
    ///
    /// # Errors
    ///
    /// As [`Shard::read`].
    pub fn read<T>(&self, name: &str, work: impl FnOnce(&ReadTransaction) -> Step<T>) -> Result<T> {
        self.shard(self.home_of(name))?.read(work)
    }

    /// Changes the shard that a name belongs to: one durable commit.
    ///
    /// # Errors
    ///
    /// As [`Shard::write`].
    pub fn write<T>(&self, name: &str, work: impl FnOnce(&WriteTransaction) -> Step<T>) -> Result<T> {
        self.shard(self.home_of(name))?.write(work)
    }

    /// Looks for a name in the shard that it belongs to, and then in all others: what is found elsewhere is used, and
    /// reported. Where many names are looked for that are nowhere, [`Shards::audit`] once and [`Shards::read`] cost less.
    ///
    /// # Errors
    ///
    /// `Corrupt` when the name is not where it belongs and in two other shards; as [`Shard::read`].
    pub fn find<T>(
        &self,
        name: &str,
        probe: impl Fn(&ReadTransaction) -> Step<Option<T>>,
    ) -> Result<Option<Found<T>>> {
        let home = self.home_of(name);
        if let Some(value) = self.shard(home)?.read(&probe)? {
            return Ok(Some(Found { value, shard: home, misplaced: None }));
        }
        self.find_among(name, self.shards.iter().filter(|shard| shard.no() != home), probe)
    }

    /// As [`Shards::find`], in every shard: a name that is in two is an error also where one of them is its own.
    ///
    /// # Errors
    ///
    /// `Corrupt` when the name is in two shards; as [`Shard::read`].
    pub fn find_everywhere<T>(
        &self,
        name: &str,
        probe: impl Fn(&ReadTransaction) -> Step<Option<T>>,
    ) -> Result<Option<Found<T>>> {
        self.find_among(name, self.shards.iter(), probe)
    }

    fn find_among<'a, T>(
        &self,
        name: &str,
        shards: impl Iterator<Item = &'a Shard>,
        probe: impl Fn(&ReadTransaction) -> Step<Option<T>>,
    ) -> Result<Option<Found<T>>> {
        let home = self.home_of(name);
        let mut found: Option<Found<T>> = None;
        for shard in shards {
            let Some(value) = shard.read(&probe)? else { continue };
            if let Some(first) = &found {
                return Err(self.in_two(name, first.shard, shard.no()));
            }
            let misplaced = (shard.no() != home).then(|| misplaced(name, home, shard.no()));
            found = Some(Found { value, shard: shard.no(), misplaced });
        }
        Ok(found)
    }

    /// Looks through all names, and reports those that are in another shard than they belong to. `names` hands each name of
    /// a shard to the function it is given.
    ///
    /// # Errors
    ///
    /// `Corrupt` when a name is in two shards; as [`Shard::read`].
    pub fn audit(
        &self,
        names: impl Fn(&ReadTransaction, &mut dyn FnMut(&str)) -> Step<()>,
    ) -> Result<Vec<Misplaced>> {
        self.audit_shards(|shard, see| shard.read(|transaction| names(transaction, see)))
    }

    /// As [`Shards::audit`], of names that a transaction alone does not show.
    pub(super) fn audit_shards(
        &self,
        names: impl Fn(&Shard, &mut dyn FnMut(&str)) -> Result<()>,
    ) -> Result<Vec<Misplaced>> {
        let mut found = BTreeMap::new();
        let mut twice = None;
        for shard in &self.shards {
            names(shard, &mut |name| {
                if self.home_of(name) == shard.no() {
                    return;
                }
                let first = found.insert(name.to_string(), shard.no());
                if let Some(first) = first.filter(|first| *first != shard.no()) {
                    twice = twice.take().or_else(|| Some((name.to_string(), first, shard.no())));
                }
            })?;
        }
        // Few or none are misplaced; only for them the names of the shards they belong to are looked through again.
        let homes = found.keys().map(|name| self.home_of(name)).collect::<std::collections::BTreeSet<_>>();
        for home in homes {
            names(self.shard(home)?, &mut |name| {
                if let Some(other) = found.get(name).filter(|other| **other != home) {
                    twice = twice.take().or_else(|| Some((name.to_string(), home, *other)));
                }
            })?;
        }
        if let Some((name, first, second)) = twice {
            return Err(self.in_two(&name, first, second));
        }
        Ok(found.into_iter().map(|(name, shard)| misplaced(&name, self.home_of(&name), shard)).collect())
    }

    fn in_two(&self, name: &str, first: ShardNo, second: ShardNo) -> Error {
        let expected = format!("{name} in one shard");
        Error::corrupt(&self.name, 0, expected, format!("it in the shards {first} and {second}"))
    }
}

fn misplaced(name: &str, home: ShardNo, shard: ShardNo) -> Misplaced {
    let misplaced = Misplaced { name: name.into(), home, shard };
    tracing::warn!(%misplaced, "a name is in another shard than it belongs to; it is used");
    misplaced
}
