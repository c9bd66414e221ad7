//! A `DynBackend` is the backend that it hides, and goes wherever a backend is wanted.

use std::sync::Arc;

use futures::TryStreamExt;
use walkeep::backends::fs::{Fs, FsConfig};
use walkeep::backends::memory::{Memory, MemoryConfig};
use walkeep::core::{
    AnyConfig, Backend, Body, ByteRange, DynBackend, Either, Erased, Error, ObjectPath, PageSize,
};
use walkeep::{Bucket, Handles, Timeline, Writer};

fn path(text: &str) -> ObjectPath {
    ObjectPath::new(text).unwrap()
}

#[tokio::test]
async fn backends_without_their_type_conform() {
    let root = tempfile::tempdir().unwrap();
    let disk = Erased::shared(Fs::new(FsConfig::open(root.path()).unwrap()));
    let other = FsConfig::create(&root.path().join("other")).unwrap();
    let in_memory = Erased::shared(Memory::new());
    let bucket = MemoryConfig { bucket: "other".into() };
    for (backend, config) in [(disk, AnyConfig::new(other)), (in_memory, AnyConfig::new(bucket))] {
        let backend: &DynBackend = &backend;
        walkeep_core::conformance::everything(backend, None).await;
        walkeep_core::conformance::everything(backend, Some(&config)).await;
        let default = backend.default_config();
        let prefix = path("order");
        let listed = backend.list(Some(&default), &prefix, None, 5);
        assert_eq!(listed.try_collect::<Vec<_>>().await.unwrap().len(), 5, "the default is what None means");
    }
}

#[tokio::test]
async fn a_configuration_of_another_type_is_invalid_in_every_call() {
    let backend = Erased::shared(Memory::new());
    let wrong = AnyConfig::new("canary-secret");
    let (config, name) = (Some(&wrong), path("a/b"));
    let outcomes = [
        backend.put_new(config, &name, Body::from(vec![1])).await.unwrap_err(),
        backend.get(config, &name, ByteRange::Full).await.unwrap_err(),
        backend.list(config, &path("a"), None, 1).try_collect::<Vec<_>>().await.unwrap_err(),
        backend.list_directories(config, &path("a"), None, 1).try_collect::<Vec<_>>().await.unwrap_err(),
        backend.delete(config, std::slice::from_ref(&name)).await.unwrap_err(),
    ];
    for error in outcomes {
        assert!(matches!(error, Error::Invalid { .. }), "{error:?}");
        assert!(error.to_string().contains("MemoryConfig"), "the wanted type is named: {error}");
        assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
    }
    let stored = backend.get(None, &name, ByteRange::Full).await;
    assert!(matches!(stored, Err(Error::NotFound { .. })), "nothing was stored: {stored:?}");
}

#[tokio::test]
async fn a_bucket_takes_a_backend_without_its_type() {
    let memory = Arc::new(Memory::new());
    let backend: DynBackend = Erased::shared(Arc::clone(&memory));
    let bucket = Bucket::new(Arc::new(backend), Some(AnyConfig::new(MemoryConfig::default()))).unwrap();
    let namespace = "shop".parse().unwrap();
    let writer = Writer::open(&bucket, &namespace, PageSize::DEFAULT, &Handles::system()).await.unwrap();
    let timeline = Timeline::load(&bucket, &namespace).await.unwrap();
    assert_eq!(timeline.manifest().log_id(), writer.log_id());
    assert!(!memory.objects().is_empty(), "it went to the backend behind");
}

#[tokio::test]
async fn a_choice_can_hold_a_backend_without_its_type() {
    let backend: Either<Memory, DynBackend> = Either::Right(Erased::shared(Memory::new()));
    walkeep_core::conformance::everything(&backend, None).await;
    let wrong = Either::Right(AnyConfig::new(7_u8));
    let error = backend.get(Some(&wrong), &path("a"), ByteRange::Full).await.unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }), "{error:?}");
}
