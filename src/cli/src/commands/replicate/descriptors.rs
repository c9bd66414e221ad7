//! The limit of open files, which many databases reach.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::output;

/// Open files for each database: the database, its log and its locks, by SQLite and by the capture, and some to spare.
const PER_DATABASE: u64 = 10;
/// For everything else.
const BESIDE: u64 = 128;

/// Raises the limit as far as this process may, and warns when that is too low for so many databases.
pub(super) fn raise_limit(databases: usize) {
    let needed = BESIDE + PER_DATABASE * databases as u64;
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    let raised = soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok();
    let limit = if raised { hard } else { soft };
    if limit < needed {
        output::note(format!(
            "warning: {databases} databases may need {needed} open files, and the limit is {limit}: raise it (systemd: \
             LimitNOFILE={needed}; in a shell: ulimit -n {needed})"
        ));
    }
}
