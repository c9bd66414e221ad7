//! A store whose newest manifests are gone: what they knew is not forgotten silently, and nothing is built on top.

use std::sync::Arc;

use walkeep::backends::Memory;
use walkeep::core::segment::Compression;
use walkeep::core::{Backend, Error, FrameNo, ObjectPath, PageSize};
use walkeep::verify::verify;
use walkeep::{Bucket, DATABASE_BYTES_MAX, RestorePoint, View, Writer};
use walkeep_tests::handles::handles;
use walkeep_tests::page_log::PageLog;

/// A namespace with one commit in each of two epochs.
async fn store() -> (Arc<Memory>, Bucket) {
    let memory = Arc::new(Memory::new());
    let bucket = Bucket::new(Arc::clone(&memory), None).unwrap();
    let small = PageSize::new(512).unwrap();
    let mut log: Option<PageLog> = None;
    for fill in 1..=2 {
        let (handles, _) = handles(1, u64::from(fill));
        let mut writer = Writer::open(&bucket, &"a".parse().unwrap(), small, &handles).await.unwrap();
        let log = log.get_or_insert_with(|| PageLog::new(small, writer.hash_seed(), FrameNo::FIRST));
        log.commit(&[(1, vec![fill; 512])], 1, u64::from(fill));
        writer.store(&log.seal(&writer, u128::from(fill), Compression::None)).await.unwrap();
    }
    (memory, bucket)
}

/// Deletes the newest manifests.
async fn lose_manifests(memory: &Memory, count: usize) {
    let paths = memory.objects().into_keys().filter(|path| path.as_str().contains("/manifest/"));
    let newest = paths.take(count).collect::<Vec<ObjectPath>>();
    assert_eq!(newest.len(), count);
    memory.delete(None, &newest).await.unwrap();
}

async fn latest(bucket: &Bucket) -> walkeep::Result<FrameNo> {
    let view = View::open(bucket, &"a".parse()?, RestorePoint::Latest, DATABASE_BYTES_MAX).await?;
    Ok(view.commit().frame_no)
}

#[tokio::test(start_paused = true)]
async fn a_log_whose_newest_manifests_are_lost_is_damaged_and_not_older() {
    let (memory, bucket) = store().await;
    assert_eq!(latest(&bucket).await.unwrap().get(), 2);
    lose_manifests(&memory, 2).await;
    let error = latest(&bucket).await.unwrap_err();
    assert!(matches!(error, Error::Corrupt(_)), "{error}");
    assert!(error.to_string().contains("epoch 2"), "{error}");
    let report = verify(&bucket, &"a".parse().unwrap(), true).await.unwrap();
    assert_eq!(report.problems.len(), 1, "{:?}", report.problems);
}

/// Otherwise its epoch would be the lost one's, and the lost epoch's segments would count again: above what the new
/// writer acknowledges.
#[tokio::test(start_paused = true)]
async fn no_writer_goes_on_where_manifests_are_lost() {
    let (memory, bucket) = store().await;
    lose_manifests(&memory, 2).await;
    let (handles, _) = handles(1, 9);
    let before = memory.objects();
    // Trying again does not help: nothing is claimed.
    for _ in 0..2 {
        let error = Writer::open(&bucket, &"a".parse().unwrap(), PageSize::MIN, &handles).await.map(drop);
        assert!(matches!(error, Err(Error::Corrupt(_))), "{error:?}");
    }
    assert!(memory.objects() == before, "nothing was written");
    assert!(latest(&bucket).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn no_log_is_begun_among_the_segments_of_one_whose_manifests_are_all_lost() {
    let (memory, bucket) = store().await;
    lose_manifests(&memory, 4).await;
    let before = memory.objects();
    let (handles, _) = handles(1, 9);
    let error = Writer::open(&bucket, &"a".parse().unwrap(), PageSize::MIN, &handles).await.map(drop);
    assert!(matches!(error, Err(Error::Corrupt(_))), "{error:?}");
    assert!(memory.objects() == before, "nothing was written");
    let report = verify(&bucket, &"a".parse().unwrap(), false).await.unwrap();
    assert_eq!(report.problems.len(), 1, "{:?}", report.problems);
}
