//! `Either` is the backend that it holds, and refuses what is meant for the other.

use futures::TryStreamExt;
use walkeep::backends::fs::{Fs, FsConfig};
use walkeep::backends::memory::{Memory, MemoryConfig};
use walkeep::core::{Backend, Body, ByteRange, Either, Error, ObjectPath};

type OneOfTwo = Either<Fs, Memory>;
type Config = Either<FsConfig, MemoryConfig>;

fn path(text: &str) -> ObjectPath {
    ObjectPath::new(text).unwrap()
}

fn on_disk(root: &tempfile::TempDir) -> (OneOfTwo, Config) {
    let config = FsConfig::create(&root.path().join("other")).unwrap();
    (Either::Left(Fs::new(FsConfig::open(root.path()).unwrap())), Either::Left(config))
}

fn in_memory() -> (OneOfTwo, Config) {
    (Either::Right(Memory::new()), Either::Right(MemoryConfig { bucket: "other".into() }))
}

#[tokio::test]
async fn both_sides_conform_with_and_without_an_override() {
    let root = tempfile::tempdir().unwrap();
    for (backend, config) in [on_disk(&root), in_memory()] {
        walkeep_core::conformance::everything(&backend, None).await;
        walkeep_core::conformance::everything(&backend, Some(&config)).await;
        let default = backend.default_config();
        assert_eq!(default.left().is_some(), backend.left().is_some());
        let prefix = path("order");
        let listed = backend.list(Some(&default), &prefix, None, 5);
        assert_eq!(listed.try_collect::<Vec<_>>().await.unwrap().len(), 5, "the default is what None means");
    }
}

#[tokio::test]
async fn an_override_for_the_other_side_is_invalid_in_every_call() {
    let root = tempfile::tempdir().unwrap();
    let ((disk, disk_config), (memory, memory_config)) = (on_disk(&root), in_memory());
    for (backend, wrong, is) in [(disk, memory_config, "first"), (memory, disk_config, "second")] {
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
            assert!(error.to_string().contains(&format!("this one is of the {is} kind")), "{error}");
        }
        let stored = backend.get(None, &name, ByteRange::Full).await;
        assert!(matches!(stored, Err(Error::NotFound { .. })), "nothing was stored: {stored:?}");
    }
}

#[tokio::test]
async fn a_choice_of_three_is_a_choice_of_a_choice() {
    let three: Either<Memory, OneOfTwo> = Either::Right(in_memory().0);
    walkeep_core::conformance::everything(&three, None).await;
    let wrong = Either::Left(MemoryConfig::default());
    let error = three.get(Some(&wrong), &path("a"), ByteRange::Full).await.unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }), "{error:?}");
}
