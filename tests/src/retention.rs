//! Retention that a test can wait for.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use walkeep::backends::StoreUrl;
use walkeep::core::Retention;
use walkeep::{Bucket, retain};

/// Makes a store keep less of the namespace `shop` than the command line lets a user ask for: a millisecond.
///
/// # Panics
///
/// When it cannot.
pub fn keep_next_to_nothing(store: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let backend = StoreUrl::from_os_str(store.as_os_str()).unwrap().open().unwrap();
    let bucket = Bucket::new(Arc::new(backend), None).unwrap();
    let retention = Retention::new(Duration::from_millis(1), Vec::new()).unwrap();
    let shop = "shop".parse().unwrap();
    runtime.block_on(retain(&bucket, &shop, Some(&retention))).unwrap();
}
