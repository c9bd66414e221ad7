//! The backend in memory, over servers that answer as told, and over stores that list in two orders.

mod answers;
mod orders;
mod server;

use std::sync::Arc;

use super::*;

fn path(text: &str) -> ObjectPath {
    ObjectPath::new(text).unwrap()
}

#[tokio::test]
async fn it_conforms_in_memory() {
    let object = Object::new(ObjectConfig::in_memory());
    walkeep_core::conformance::everything(&object, None).await;
    // Bodies of more than 1 MiB in parts: the large one of the suite.
    let in_parts = ObjectConfig::in_memory().with_parts(1 << 20, 5 << 20);
    walkeep_core::conformance::everything(&object, Some(&in_parts)).await;
}

#[tokio::test]
async fn a_body_in_parts_is_refused_when_its_name_is_taken() {
    let object = Object::new(ObjectConfig::in_memory().with_parts(100, 64));
    let bytes = (0..=255).collect::<Vec<u8>>();
    object.put_new(None, &path("a/b"), Body::from(bytes.clone())).await.unwrap();
    let again = object.put_new(None, &path("a/b"), Body::from(vec![0; 256])).await;
    assert!(matches!(again, Err(walkeep_core::Error::AlreadyExists { .. })), "{again:?}");
    assert_eq!(object.get(None, &path("a/b"), ByteRange::Full).await.unwrap(), bytes);
}

#[tokio::test]
async fn a_choice_of_object_stores_is_one_backend() {
    let object: walkeep_core::DynBackend =
        walkeep_core::Erased::shared(Object::new(ObjectConfig::in_memory()));
    walkeep_core::conformance::objects_are_created_once(&object, None).await;
}

#[test]
fn settings_and_credentials_that_cannot_work_are_refused_at_once() {
    let open = |url: &str, credentials: &Credentials| {
        ObjectConfig::open(&url.parse().unwrap(), credentials).unwrap_err().to_string()
    };
    let half = Credentials::default().with("AWS_SECRET_ACCESS_KEY", Secret::new("canary")).unwrap();
    let error = open("s3://b", &half);
    assert!(error.contains("AccessKeyId") && !error.contains("canary"), "{error}");

    let clear = Credentials::default().with("AWS_ENDPOINT_URL", Secret::new("http://example.org")).unwrap();
    let error = open("s3://b", &clear);
    assert!(error.contains("allow_http=true"), "also from the environment: {error}");

    let key = Credentials::default().with("GOOGLE_SERVICE_ACCOUNT_KEY", Secret::new("{canary")).unwrap();
    let error = open("gs://b", &key);
    assert!(!error.contains("canary"), "{error}");
    assert!(open("az://c", &Credentials::default()).to_lowercase().contains("account"));
}

#[test]
fn an_open_place_shows_its_address_and_no_secret() {
    let credentials = Credentials::access_key("id", Secret::new("canary"));
    let config = ObjectConfig::open(&"s3://b/p?region=eu".parse().unwrap(), &credentials).unwrap();
    assert_eq!(format!("{config:?}"), "ObjectConfig(s3://b/p)");
    assert!(!format!("{:?}", Object::new(config)).contains("canary"));
    let azure = Credentials::default()
        .with("AZURE_STORAGE_ACCOUNT_NAME", Secret::new("me"))
        .and_then(|known| known.with("AZURE_STORAGE_ACCOUNT_KEY", Secret::new("Y2FuYXJ5")))
        .unwrap();
    let config = ObjectConfig::open(&"az://c/p".parse().unwrap(), &azure).unwrap();
    assert_eq!(format!("{config:?}"), "ObjectConfig(az://c/p)");
}
