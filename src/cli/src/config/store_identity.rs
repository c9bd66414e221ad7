//! Which place a store is, whatever its settings.

use walkeep::backends::StoreUrl;

use super::file_identity::FileIdentity;

/// Which place a store is: equal for two addresses of one place that differ in settings, such as a time limit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum StoreIdentity {
    /// A local directory, also that of a redb store.
    Directory(FileIdentity),
    /// The address without settings, and the server and the account that are named in it.
    Object(String, Option<String>, Option<String>),
}

impl StoreIdentity {
    /// Of two stores in one the place is that of the one that decides.
    pub(crate) fn of(store: &StoreUrl) -> Self {
        match store {
            StoreUrl::Directory(path) => Self::Directory(FileIdentity::of(path)),
            StoreUrl::Object(location) => {
                Self::Object(location.to_string(), location.endpoint.clone(), location.account.clone())
            }
            StoreUrl::Redb(location) => Self::Directory(FileIdentity::of(&location.path)),
            StoreUrl::Mirror(mirror) => Self::of(&mirror.first),
            StoreUrl::Tiered(tiered) => Self::of(&tiered.remote),
            // Whatever else there may be: its address.
            other => Self::Object(other.to_string(), None, None),
        }
    }
}
