//! The `object` backend on Google Cloud Storage, or on a server that speaks its protocol.
//!
//! There is none that can be installed like the others, so these tests run only when they are asked for, and then fail
//! unless the environment names a bucket: `WALKEEP_TEST_GCS_URL=gs://BUCKET[/PREFIX][?…]`, and credentials under the
//! usual names, such as `GOOGLE_APPLICATION_CREDENTIALS`.

use walkeep_backends::Object;
use walkeep_backends::object::{Credentials, ObjectConfig, ObjectLocation, Service};
use walkeep_backends::os::SystemRandom;
use walkeep_core::{ObjectPath, Random};

#[tokio::test]
#[ignore = "needs a bucket: set WALKEEP_TEST_GCS_URL and run with --ignored"]
async fn it_conforms() {
    let url = std::env::var("WALKEEP_TEST_GCS_URL").unwrap_or_else(|_| {
        panic!("WALKEEP_TEST_GCS_URL is not set: gs://BUCKET[/PREFIX], with credentials as in `walkeep ls --help`")
    });
    let location: ObjectLocation = url.parse().unwrap();
    assert_eq!(location.service, Service::Gcs);
    let mut run = [0; 8];
    SystemRandom.fill(&mut run).unwrap();
    let above = location.prefix.as_ref().map(|prefix| format!("{prefix}/")).unwrap_or_default();
    let prefix = format!("{above}walkeep-test-{:016x}", u64::from_le_bytes(run));
    let location = ObjectLocation { prefix: Some(ObjectPath::new(prefix).unwrap()), ..location };
    let config = ObjectConfig::open(&location, &Credentials::from_environment()).unwrap();
    walkeep_core::conformance::everything(&Object::new(config), None).await;
}
