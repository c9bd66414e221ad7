//! The `object` backend on a server that speaks Azure Blob Storage.
//!
//! Which one, the environment says: `WALKEEP_TEST_AZURE_ENDPOINT`, `_CONTAINER`, `_ACCOUNT`, `_KEY`. Without them these
//! tests fail; `tests/with-azurite` starts Microsoft's emulator and sets them. Every test uses a prefix of its own.
#![expect(clippy::unwrap_used, reason = "in test code a panic is a failed test")]

use walkeep_backends::Object;
use walkeep_backends::object::{Credentials, ObjectConfig, ObjectLocation, Secret, Service};
use walkeep_backends::os::SystemRandom;
use walkeep_core::{Backend, Body, ByteRange, Error, ObjectPath, Random};

fn variable(name: &str) -> String {
    let name = format!("WALKEEP_TEST_AZURE_{name}");
    std::env::var(&name).unwrap_or_else(|_| {
        panic!(
            "{name} is not set: run `tests/with-azurite cargo test ...`, or set it for a server of your own"
        )
    })
}

fn location() -> ObjectLocation {
    let mut run = [0; 8];
    SystemRandom.fill(&mut run).unwrap();
    let prefix = format!("walkeep-test-{:016x}", u64::from_le_bytes(run));
    ObjectLocation {
        prefix: Some(ObjectPath::new(prefix).unwrap()),
        endpoint: Some(variable("ENDPOINT")),
        account: Some(variable("ACCOUNT")),
        allow_http: true,
        ..ObjectLocation::new(Service::Azure, variable("CONTAINER")).unwrap()
    }
}

fn with_key(key: &str) -> Credentials {
    Credentials::default().with("AZURE_STORAGE_ACCOUNT_KEY", Secret::new(key)).unwrap()
}

fn open(location: &ObjectLocation, key: &str) -> Object {
    Object::new(ObjectConfig::open(location, &with_key(key)).unwrap())
}

#[tokio::test]
async fn it_conforms() {
    let object = open(&location(), &variable("KEY"));
    walkeep_core::conformance::everything(&object, None).await;
    let tenant = ObjectConfig::open(&location(), &with_key(&variable("KEY"))).unwrap();
    walkeep_core::conformance::everything(&object, Some(&tenant)).await;
}

#[tokio::test]
async fn a_wrong_key_and_a_container_that_is_not_there_are_told_apart() {
    let path = ObjectPath::new("a/b").unwrap();
    let canary = "Y2FuYXJ5LTFhMmItc2VjcmV0";
    let wrong = open(&location(), canary);
    for error in [
        wrong.get(None, &path, ByteRange::Full).await.unwrap_err(),
        wrong.put_new(None, &path, Body::from(vec![1])).await.unwrap_err(),
    ] {
        assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
        let shown = format!("{error} {error:?} {wrong:?}");
        assert!(shown.contains("the credentials were refused") && !shown.contains(canary), "{shown}");
    }
    let nowhere = ObjectLocation { bucket: "walkeep-none".into(), ..location() };
    let error = open(&nowhere, &variable("KEY")).get(None, &path, ByteRange::Full).await.unwrap_err();
    assert!(error.to_string().contains("there is no such bucket"), "{error}");
}
