//! The files of a tenant on this machine, and whether they are current.
//!
//! While a tenant is served elsewhere, its files here grow old. So beside them stands in which generation of its assignment
//! they were written: those of another generation are put aside, and the tenant comes back from the store.
#![expect(
    clippy::disallowed_methods,
    reason = "SQLite's files too are no handle's; whatever is lost here is restored from the store"
)]

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use walkeep::core::Namespace;
use walkeep::core::catalog::Generation;
use walkeep::{Error, Result};

/// The directory with the files of all tenants.
#[derive(Clone, Debug)]
pub struct LocalFiles {
    data: PathBuf,
}

impl LocalFiles {
    /// Those in a directory.
    #[must_use]
    pub fn new(data: &Path) -> Self {
        Self { data: data.to_path_buf() }
    }

    /// The database.
    #[must_use]
    pub fn database(&self, tenant: &Namespace) -> PathBuf {
        self.data.join(file_name(tenant))
    }

    /// Whether the database is here.
    ///
    /// # Errors
    ///
    /// `Io`.
    pub fn exists(&self, tenant: &Namespace) -> Result<bool> {
        let path = self.database(tenant);
        path.try_exists().map_err(|error| Error::io(format!("look at {}", path.display()), error))
    }

    /// The tenants whose databases are here.
    ///
    /// # Errors
    ///
    /// `Io`.
    pub fn tenants(&self) -> Result<Vec<Namespace>> {
        let io = |error| Error::io(format!("list {}", self.data.display()), error);
        let names = fs::read_dir(&self.data).map_err(io)?.map(|entry| Ok(entry.map_err(io)?.file_name()));
        let names = names.collect::<Result<Vec<_>>>()?;
        Ok(names.iter().filter_map(|name| name.to_str()?.strip_suffix(".db")?.parse().ok()).collect())
    }

    /// Puts the files aside unless they are of this generation. What nobody stored stays in them, for people to look at.
    ///
    /// # Errors
    ///
    /// `Io`.
    pub fn keep_only(&self, tenant: &Namespace, generation: Generation) -> Result<()> {
        let io = |error| Error::io(format!("put the old files of tenant {tenant} aside"), error);
        let noted = self.noted(tenant).map_err(io)?;
        if noted == Some(generation) || !self.exists(tenant)? {
            return Ok(());
        }
        let noted = noted.map_or_else(|| "unknown".to_string(), |noted| noted.to_string());
        self.put_aside(tenant, &noted).map_err(io)
    }

    /// Notes that the files are of this generation.
    ///
    /// # Errors
    ///
    /// `Io`.
    pub fn note(&self, tenant: &Namespace, generation: Generation) -> Result<()> {
        let note = self.note_path(tenant);
        let hidden = self.data.join(format!(".{tenant}.generation"));
        let write = || {
            let mut file = fs::File::create(&hidden)?;
            write!(file, "{generation}")?;
            file.sync_all()?;
            fs::rename(&hidden, &note)?;
            fs::File::open(&self.data)?.sync_all()
        };
        write().map_err(|error| Error::io(format!("write {}", note.display()), error))
    }

    fn note_path(&self, tenant: &Namespace) -> PathBuf {
        self.data.join(format!("{tenant}.generation"))
    }

    fn noted(&self, tenant: &Namespace) -> io::Result<Option<Generation>> {
        match fs::read_to_string(self.note_path(tenant)) {
            Ok(text) => Ok(text.parse().ok().map(Generation)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Into a directory of its own. The database goes last: as long as it is here, this is begun again.
    fn put_aside(&self, tenant: &Namespace, generation: &str) -> io::Result<()> {
        let aside = self.data.join(format!("{tenant}.aside")).join(generation);
        fs::create_dir_all(&aside)?;
        let file = file_name(tenant);
        let beside = [format!(".{file}-walkeep"), format!("{file}-wal"), format!("{file}-shm"), file];
        for name in beside {
            let (from, to) = (self.data.join(&name), aside.join(&name));
            if !from.try_exists()? {
                continue;
            }
            if to.try_exists()? {
                // Put aside before, and restored since: a copy of what is stored.
                if from.is_dir() { fs::remove_dir_all(&from)? } else { fs::remove_file(&from)? }
            } else {
                fs::rename(&from, &to)?;
            }
        }
        fs::File::open(&aside)?.sync_all()?;
        fs::File::open(&self.data)?.sync_all()
    }
}

/// The name of a tenant's database.
#[must_use]
pub fn file_name(tenant: &Namespace) -> String {
    format!("{tenant}.db")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_another_generation_are_put_aside_and_those_of_this_one_stay() {
        let data = tempfile::tempdir().unwrap();
        let (files, tenant) = (LocalFiles::new(data.path()), "shop".parse::<Namespace>().unwrap());
        let write = |text: &str| {
            fs::write(data.path().join("shop.db"), text).unwrap();
            fs::write(data.path().join("shop.db-wal"), text).unwrap();
            fs::create_dir_all(data.path().join(".shop.db-walkeep")).unwrap();
        };
        files.keep_only(&tenant, Generation(1)).unwrap();
        write("one");
        files.note(&tenant, Generation(1)).unwrap();
        files.keep_only(&tenant, Generation(1)).unwrap();
        assert_eq!(files.tenants().unwrap(), std::slice::from_ref(&tenant));

        files.keep_only(&tenant, Generation(3)).unwrap();
        assert!(!files.exists(&tenant).unwrap() && !data.path().join(".shop.db-walkeep").exists());
        assert_eq!(fs::read_to_string(data.path().join("shop.aside/1/shop.db-wal")).unwrap(), "one");

        // Restored, and killed before that was noted: it is restored again, and what was put aside stays.
        write("restored");
        files.keep_only(&tenant, Generation(3)).unwrap();
        assert!(!files.exists(&tenant).unwrap());
        assert_eq!(fs::read_to_string(data.path().join("shop.aside/1/shop.db")).unwrap(), "one");
    }
}
