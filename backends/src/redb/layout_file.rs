//! The file `layout.json` of a set of shards: read, and replaced in one step.

use std::io::{self, ErrorKind};
use std::path::Path;

use walkeep_core::shards::ShardLayout;
use walkeep_core::{Directory, Error, Result};

/// Its name.
pub(super) const NAME: &str = "layout.json";

/// The next one, until it is whole.
const NEXT: &str = ".layout.json.new";

/// The layout that is there, if one is; `name` is the directory's, for messages.
pub(super) fn read(directory: &dyn Directory, name: &Path) -> Result<Option<ShardLayout>> {
    let path = name.join(NAME).display().to_string();
    let bytes = match content(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        content => content.map_err(|error| Error::io(format!("read {path}"), error))?,
    };
    ShardLayout::decode(&path, &bytes).map(Some)
}

fn content(directory: &dyn Directory) -> io::Result<Vec<u8>> {
    let file = directory.open(Path::new(NAME))?;
    let len = usize::try_from(file.len()?.min(ShardLayout::LEN_MAX + 1)).unwrap_or_default();
    let mut bytes = vec![0; len];
    let count = file.read_at(0, &mut bytes)?;
    bytes.truncate(count);
    Ok(bytes)
}

/// Puts a layout in the place of the one that is there. It is durable when this returns.
pub(super) fn replace(directory: &dyn Directory, name: &Path, layout: &ShardLayout) -> Result<()> {
    let bytes = layout.encode()?;
    let next = Path::new(NEXT);
    let written = || {
        match directory.remove_file(next) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = directory.create_new(next)?;
        file.write_all_at(0, &bytes)?;
        file.sync()?;
        directory.rename(next, Path::new(NAME))
    };
    written().map_err(|error| Error::io(format!("write {}", name.join(NAME).display()), error))?;
    directory.sync_directory(Path::new("")).map_err(|error| Error::Unknown {
        what: format!("sync {} after writing its layout ({error}); open it again", name.display()),
    })
}
