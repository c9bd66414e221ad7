//! A catalog and the store that its copies are in: bound, copied, lost, restored; and nodes that take namespaces over.

use std::sync::Arc;

use walkeep::backends::fs::FsConfig;
use walkeep::backends::redb::{Redb, RedbCatalog, RedbConfig};
use walkeep::backends::{Fs, Memory};
use walkeep::catalog::{Look, copy, init, restore, sync_segments, take_over};
use walkeep::core::catalog::{
    Ack, Catalog, CatalogPart, CatalogRecord, Generation, NamespaceSettings, NamespaceState, NodeId,
};
use walkeep::core::segment::Compression;
use walkeep::core::shards::ShardCount;
use walkeep::core::{Backend, Error, FrameNo, GroupName, MemberName, Namespace, ObjectPath, PageSize};
use walkeep::{Bucket, Handles, Writer, newest_manifest, remove};
use walkeep_tests::flaky::{Fault, Flaky};
use walkeep_tests::handles::handles;
use walkeep_tests::interrupted::Interrupted;
use walkeep_tests::page_log::PageLog;

fn namespace(name: &str) -> Namespace {
    Namespace::new(name).unwrap()
}

fn node(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

fn seeded(seed: u64) -> Handles {
    handles(1_000, seed).0
}

fn empty(shards: u32, seed: u64) -> Arc<dyn Catalog> {
    let handles = seeded(seed);
    let shards = ShardCount::new(shards).unwrap();
    Arc::new(RedbCatalog::in_memory(shards, handles.clock, &*handles.random).unwrap())
}

/// What is done to a catalog.
type OnCatalog<'a, T> = dyn Fn(&dyn Catalog) -> T + 'a;

/// A catalog of two namespaces, whose logs are in the store.
struct Scene {
    backend: Arc<Memory>,
    bucket: Bucket,
    catalog: Arc<dyn Catalog>,
}

impl Scene {
    async fn new() -> Self {
        Self::seeded(1).await
    }

    async fn seeded(seed: u64) -> Self {
        let backend = Arc::new(Memory::new());
        let bucket = Bucket::new(Arc::clone(&backend), None).unwrap().named("memory");
        let scene = Self { backend, bucket, catalog: empty(4, seed) };
        for name in ["a", "b"] {
            scene.catalog.register_node(&node(name), &format!("{name}:1"), &Default::default()).unwrap();
        }
        for (n, name) in (0..).zip(["shop", "app", "new"]) {
            let name = namespace(name);
            scene.catalog.create_namespace(&name, &NamespaceSettings::default()).unwrap();
            if n == 2 {
                continue;
            }
            let mut writer = scene.take(&name, "a", 100 * seed + n).await.unwrap();
            store(&mut writer, 2 + n).await.unwrap();
            let group = GroupName::new("readers").unwrap();
            scene.catalog.create_group(&name, &group).unwrap();
            scene.ack(&name, "readers", 2).unwrap();
            sync_segments(&scene.bucket, &scene.catalog, &name, Look::Whole).await.unwrap();
        }
        scene
    }

    async fn take(&self, namespace: &Namespace, to: &str, seed: u64) -> walkeep::Result<Writer> {
        let (page_size, handles, to) = (PageSize::MIN, seeded(seed), node(to));
        let taken = take_over(&self.catalog, &self.bucket, namespace, &to, None, page_size, &handles);
        taken.await.map(|taken| taken.writer)
    }

    fn ack(&self, namespace: &Namespace, group: &str, frame: u64) -> walkeep::Result<()> {
        let (group, member) = (&GroupName::new(group).unwrap(), &MemberName::new("one").unwrap());
        let frame_no = FrameNo::new(frame).unwrap();
        self.catalog.ack(&Ack { namespace, group, member, frame_no, durable: FrameNo::new(99) }).map(drop)
    }

    fn paths(&self, part: CatalogPart) -> Vec<ObjectPath> {
        let folder = format!("namespaces/{}/copies/", part.system_namespace());
        let objects = self.backend.objects();
        objects.into_keys().filter(|path| path.as_str().starts_with(&folder)).collect()
    }
}

/// Stores so many segments of one frame each.
async fn store(writer: &mut Writer, count: u64) -> walkeep::Result<()> {
    for n in 0..count {
        let frame = writer.next_frame_no()?;
        let mut log = PageLog::new(PageSize::MIN, writer.hash_seed(), frame);
        log.commit(&[(1, vec![u8::try_from(n + 1).unwrap(); 512])], 1, 1_000 * frame.get());
        let segment = log.seal(writer, u128::from(frame.get()), Compression::default());
        writer.store(&segment).await?;
    }
    Ok(())
}

/// All records, as they are.
fn raw_records(catalog: &dyn Catalog) -> Vec<CatalogRecord> {
    let mut records = Vec::new();
    for part in CatalogPart::ALL {
        for shard in 0..catalog.shards() {
            let mut sink = |record| {
                records.push(record);
                Ok(())
            };
            catalog.dump(shard, part, &mut sink).unwrap();
        }
    }
    records
}

/// All records; what a copy does not hold left out.
fn records(catalog: &dyn Catalog) -> Vec<String> {
    let records = raw_records(catalog).into_iter().map(|record| match record {
        CatalogRecord::Assignment(one) => format!("{:?} {:?} {:?}", one.namespace, one.node, one.epoch),
        CatalogRecord::Node(one) => format!("{} {} {}", one.id, one.address, one.draining),
        other => format!("{other:?}"),
    });
    let mut records = records.collect::<Vec<_>>();
    records.sort();
    records
}

#[tokio::test]
async fn a_catalog_that_was_lost_is_whole_again() {
    let scene = Scene::new().await;
    init(&scene.bucket, &scene.catalog, &seeded(2)).await.unwrap();
    let copied = copy(&scene.bucket, &scene.catalog, &seeded(70)).await.unwrap();
    assert_eq!((copied.copies, copied.unchanged), (8, 0), "4 shards, 2 parts");
    let before = records(&*scene.catalog);

    for shards in [4, 16, 1] {
        let restored = empty(shards, 30 + u64::from(shards));
        let report = restore(&scene.bucket, &restored, &seeded(3)).await.unwrap();
        assert_eq!((report.namespaces, report.segments, report.elsewhere), (3, 5, 0), "{report:?}");
        assert_eq!(report.differing, Vec::<String>::new());
        assert_eq!(records(&*restored), before);
        assert_eq!(restored.identity().unwrap().id, scene.catalog.identity().unwrap().id);
        for name in ["shop", "app"].map(namespace) {
            let segments = |catalog: &Arc<dyn Catalog>| catalog.segments(&name, None, 99).unwrap();
            assert_eq!(segments(&restored), segments(&scene.catalog), "listed anew");
            let was = scene.catalog.assignment(&name).unwrap().unwrap().generation;
            assert!(restored.assignment(&name).unwrap().unwrap().generation > was);
        }
        // The one before does not count any more, and is told.
        let error = copy(&scene.bucket, &scene.catalog, &seeded(70)).await.unwrap_err();
        assert!(matches!(error, Error::Fenced { .. }), "{error}");
        assert!(error.to_string().contains("restored elsewhere"), "{error}");
        copy(&scene.bucket, &restored, &seeded(70)).await.unwrap();
    }
    let (_, foreign) = scene.bucket.namespaces().await.unwrap();
    assert_eq!(foreign, 0, "the reserved namespaces are no foreign folders");
}

/// A catalog with another number of shards by now is copied wholly, and restored from that.
#[tokio::test]
async fn another_number_of_shards_is_copied_anew() {
    let scene = Scene::new().await;
    init(&scene.bucket, &scene.catalog, &seeded(2)).await.unwrap();
    copy(&scene.bucket, &scene.catalog, &seeded(70)).await.unwrap();
    let wider = empty(16, 8);
    wider.insert(&raw_records(&*scene.catalog)).unwrap();
    wider.set_identity(&scene.catalog.identity().unwrap()).unwrap();
    let copied = copy(&scene.bucket, &wider, &seeded(71)).await.unwrap();
    assert_eq!((copied.copies, copied.removed), (32, 9), "the copies of 4 shards go, and the claim");
    let narrow = copy(&scene.bucket, &scene.catalog, &seeded(72)).await.unwrap_err();
    assert!(matches!(narrow, Error::Fenced { .. }), "{narrow}");
    let restored = empty(2, 9);
    restore(&scene.bucket, &restored, &seeded(4)).await.unwrap();
    assert_eq!(records(&*restored), records(&*scene.catalog));
}

#[tokio::test]
async fn only_what_changed_is_copied_and_old_copies_go() {
    let scene = Scene::new().await;
    init(&scene.bucket, &scene.catalog, &seeded(2)).await.unwrap();
    init(&scene.bucket, &scene.catalog, &seeded(2)).await.unwrap();
    copy(&scene.bucket, &scene.catalog, &seeded(70)).await.unwrap();
    let again = copy(&scene.bucket, &scene.catalog, &seeded(70)).await.unwrap();
    assert_eq!((again.copies, again.unchanged, again.removed), (0, 8, 0));
    scene.catalog.heartbeat(&node("a")).unwrap();
    assert_eq!(
        copy(&scene.bucket, &scene.catalog, &seeded(70)).await.unwrap().copies,
        0,
        "a sign of life is no change"
    );
    for frame in 3..9 {
        scene.ack(&namespace("shop"), "readers", frame).unwrap();
        let copied = copy(&scene.bucket, &scene.catalog, &seeded(70)).await.unwrap();
        assert_eq!((copied.copies, copied.unchanged), (1, 7));
    }
    assert_eq!(scene.paths(CatalogPart::Records).len(), 4);
    assert_eq!(scene.paths(CatalogPart::Positions).len(), 5, "the newest of each, and one before");
}

#[tokio::test]
async fn the_catalog_of_another_store_is_refused() {
    let (one, two) = (Scene::seeded(1).await, Scene::seeded(2).await);
    let stranger = empty(4, 77);
    init(&one.bucket, &one.catalog, &seeded(2)).await.unwrap();
    for outcome in [
        init(&one.bucket, &stranger, &seeded(3)).await,
        init(&two.bucket, &one.catalog, &seeded(3)).await,
        copy(&two.bucket, &one.catalog, &seeded(70)).await.map(drop),
        copy(&one.bucket, &stranger, &seeded(70)).await.map(drop),
    ] {
        let error = outcome.unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{error}");
    }
    let missing = restore(&two.bucket, &empty(4, 5), &seeded(4)).await.unwrap_err();
    assert!(matches!(missing, Error::NotFound { .. }), "{missing}");
    // Claimed, but not copied yet: there is nothing to restore.
    let unfinished = restore(&one.bucket, &empty(4, 5), &seeded(4)).await.unwrap_err();
    assert!(matches!(unfinished, Error::NotFound { .. }), "{unfinished}");
    copy(&one.bucket, &one.catalog, &seeded(70)).await.unwrap();
    let full = restore(&one.bucket, &two.catalog, &seeded(4)).await.unwrap_err();
    assert!(full.to_string().contains("not empty"), "{full}");

    // Logs that differ: nobody is fenced, nothing is registered.
    let epoch = newest_manifest(&two.bucket, &namespace("shop")).await.unwrap().unwrap().last().epoch;
    let scene = Scene { backend: two.backend, bucket: two.bucket, catalog: one.catalog };
    let error = scene.take(&namespace("shop"), "b", 50).await.unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }), "{error}");
    assert!(error.to_string().contains("catalog of another store"), "{error}");
    let look = sync_segments(&scene.bucket, &scene.catalog, &namespace("shop"), Look::Whole).await;
    assert!(matches!(look, Err(Error::Invalid { .. })), "{look:?}");
    let newest = newest_manifest(&scene.bucket, &namespace("shop")).await.unwrap().unwrap();
    assert_eq!(newest.last().epoch, epoch);
}

/// A damaged copy is an error that names it, and restores nothing half; without it the copy before is used.
#[tokio::test]
async fn a_damaged_copy_is_named_and_the_one_before_can_be_used() {
    let scene = Scene::new().await;
    init(&scene.bucket, &scene.catalog, &seeded(2)).await.unwrap();
    copy(&scene.bucket, &scene.catalog, &seeded(70)).await.unwrap();
    let before = records(&*scene.catalog);
    scene.ack(&namespace("shop"), "readers", 7).unwrap();
    copy(&scene.bucket, &scene.catalog, &seeded(70)).await.unwrap();
    let objects = scene.backend.objects();
    let paths = CatalogPart::ALL.map(|part| scene.paths(part)).concat();
    // The newest copy of a shard of which there are two.
    let newest = paths.windows(2).find(|pair| {
        let folder = |path: &ObjectPath| path.as_str().rsplit_once('/').unwrap().0.to_string();
        folder(&pair[0]) == folder(&pair[1])
    });
    let newest = newest.unwrap()[0].clone();
    let bytes = objects[&newest].to_vec();
    for at in (0..bytes.len()).step_by(bytes.len() / 40) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 4;
        scene.backend.replace(&newest, damaged.into());
        let error = restore(&scene.bucket, &empty(4, 9), &seeded(4)).await.unwrap_err();
        let Error::Corrupt(corruption) = &error else { panic!("byte {at}: {error}") };
        assert_eq!(corruption.object, newest.as_str());
    }
    scene.backend.delete(None, &[newest]).await.unwrap();
    let restored = empty(4, 9);
    restore(&scene.bucket, &restored, &seeded(4)).await.unwrap();
    assert_eq!(records(&*restored), before);
}

/// A whole copy under the name of another one: nothing of it is put in, however much it is.
#[tokio::test]
async fn a_copy_in_the_place_of_another_is_not_put_in() {
    let backend = Arc::new(Memory::new());
    let bucket = Bucket::new(Arc::clone(&backend), None).unwrap().named("memory");
    let scene = Scene { backend, bucket, catalog: empty(1, 1) };
    let create = |n: u32| {
        let name = namespace(&format!("n{n}"));
        scene.catalog.create_namespace(&name, &NamespaceSettings::default()).unwrap();
    };
    (0..1500).for_each(create);
    init(&scene.bucket, &scene.catalog, &seeded(2)).await.unwrap();
    copy(&scene.bucket, &scene.catalog, &seeded(70)).await.unwrap();
    create(1500);
    copy(&scene.bucket, &scene.catalog, &seeded(70)).await.unwrap();
    let [newest, before] = &scene.paths(CatalogPart::Records)[..] else { panic!("two copies") };
    let objects = scene.backend.objects();
    scene.backend.replace(newest, objects[before].clone());
    let restored = empty(1, 9);
    let error = restore(&scene.bucket, &restored, &seeded(4)).await.unwrap_err();
    let Error::Corrupt(corruption) = &error else { panic!("{error}") };
    assert_eq!(corruption.object, newest.as_str());
    assert_eq!(raw_records(&*restored), []);
    scene.backend.replace(newest, objects[newest].clone());
    restore(&scene.bucket, &restored, &seeded(4)).await.unwrap();
    assert_eq!(raw_records(&*restored).len(), 1501);
}

/// Files of the catalog that were put back from a backup: what was acknowledged since is in the copies, and is not covered up.
#[tokio::test]
async fn an_older_state_of_the_catalog_does_not_replace_its_copies() {
    let scene = Scene::new().await;
    init(&scene.bucket, &scene.catalog, &seeded(2)).await.unwrap();
    copy(&scene.bucket, &scene.catalog, &seeded(70)).await.unwrap();
    let older = empty(4, 8);
    older.insert(&raw_records(&*scene.catalog)).unwrap();
    older.set_identity(&scene.catalog.identity().unwrap()).unwrap();
    scene.ack(&namespace("shop"), "readers", 7).unwrap();
    copy(&scene.bucket, &scene.catalog, &seeded(70)).await.unwrap();
    let error = copy(&scene.bucket, &older, &seeded(70)).await.unwrap_err();
    assert!(error.to_string().contains("older files of the catalog"), "{error}");
    // The state before is where it was: a restored catalog has the newest position.
    let restored = empty(4, 9);
    restore(&scene.bucket, &restored, &seeded(4)).await.unwrap();
    let (group, member) = (GroupName::new("readers").unwrap(), MemberName::new("one").unwrap());
    let position = restored.position(&namespace("shop"), &group, &member).unwrap().unwrap();
    assert_eq!(position.frame_no, FrameNo::new(7).unwrap());
}

/// A catalog that is restored elsewhere while this one copies: who is told that all was copied can rely on that.
#[tokio::test]
async fn what_is_said_to_be_copied_is_what_is_restored_elsewhere() {
    let (mut fenced, mut copied) = (0, 0);
    for at in 0.. {
        let scene = Scene::new().await;
        init(&scene.bucket, &scene.catalog, &seeded(2)).await.unwrap();
        copy(&scene.bucket, &scene.catalog, &seeded(70)).await.unwrap();
        scene.ack(&namespace("shop"), "readers", 7).unwrap();
        let interrupted = Arc::new(Interrupted::over(Arc::clone(&scene.backend)));
        let ours = Bucket::new(Arc::clone(&interrupted), None).unwrap().named("memory");
        let (theirs, restored) = (scene.bucket.clone(), empty(4, 9));
        let elsewhere = Arc::clone(&restored);
        interrupted.interrupt(at, async move {
            restore(&theirs, &elsewhere, &seeded(4)).await.unwrap();
        });
        let outcome = copy(&ours, &scene.catalog, &seeded(70)).await;
        if !interrupted.was_interrupted() {
            break;
        }
        let (group, member) = (GroupName::new("readers").unwrap(), MemberName::new("one").unwrap());
        let position = restored.position(&namespace("shop"), &group, &member).unwrap().unwrap();
        match outcome {
            Ok(_) => assert_eq!(position.frame_no, FrameNo::new(7).unwrap(), "at call {at}"),
            Err(Error::Fenced { .. }) => fenced += 1,
            Err(error) => panic!("at call {at}: {error}"),
        }
        copied += u64::from(position.frame_no == FrameNo::new(7).unwrap());
    }
    assert!(fenced > 3 && copied > 1, "{fenced} {copied}");
}

/// Positions are copied apart from the groups that they belong to: what is deleted is gone from both.
#[tokio::test]
async fn what_was_deleted_does_not_keep_the_rest_from_being_restored() {
    let (group, member) = (&GroupName::new("readers").unwrap(), &MemberName::new("one").unwrap());
    let shop = &namespace("shop");
    let deletions: [&OnCatalog<'_, bool>; 3] = [
        &|catalog| catalog.delete_namespace(shop).unwrap().existed,
        &|catalog| catalog.delete_group(shop, group).unwrap().is_some(),
        &|catalog| catalog.delete_member(shop, group, member).unwrap(),
    ];
    for delete in deletions {
        let scene = Scene::new().await;
        init(&scene.bucket, &scene.catalog, &seeded(2)).await.unwrap();
        copy(&scene.bucket, &scene.catalog, &seeded(70)).await.unwrap();
        assert!(delete(&*scene.catalog));
        copy(&scene.bucket, &scene.catalog, &seeded(70)).await.unwrap();
        let restored = empty(4, 9);
        restore(&scene.bucket, &restored, &seeded(4)).await.unwrap();
        assert_eq!(records(&*restored), records(&*scene.catalog));
    }
}

#[tokio::test]
async fn a_catalog_that_has_anything_is_not_restored_into() {
    let scene = Scene::new().await;
    init(&scene.bucket, &scene.catalog, &seeded(2)).await.unwrap();
    copy(&scene.bucket, &scene.catalog, &seeded(70)).await.unwrap();
    let fill: [&OnCatalog<'_, ()>; 2] = [
        &|catalog| drop(catalog.create_namespace(&namespace("own"), &NamespaceSettings::default()).unwrap()),
        &|catalog| drop(catalog.register_node(&node("own"), "own:1", &Default::default()).unwrap()),
    ];
    for fill in fill {
        let full = empty(4, 9);
        fill(&*full);
        let (before, error) = (records(&*full), restore(&scene.bucket, &full, &seeded(4)).await.unwrap_err());
        assert!(error.to_string().contains("it is not empty"), "{error}");
        assert_eq!(records(&*full), before);
    }
}

/// Who takes over in the wrong store is told before anything is given to it.
#[tokio::test]
async fn a_namespace_is_not_taken_over_in_a_store_without_its_log() {
    let scene = Scene::new().await;
    let before = scene.catalog.assignment(&namespace("shop")).unwrap();
    let other = Bucket::new(Arc::new(Memory::new()), None).unwrap();
    let (shop, to, handles) = (namespace("shop"), node("b"), seeded(5));
    let taken = take_over(&scene.catalog, &other, &shop, &to, None, PageSize::MIN, &handles).await;
    assert!(matches!(taken, Err(Error::NotFound { .. })), "{taken:?}");
    assert_eq!(scene.catalog.assignment(&shop).unwrap(), before);
    assert!(newest_manifest(&other, &shop).await.unwrap().is_none());
}

/// What a fenced writer stored late counts for nobody, and is not registered.
#[tokio::test]
async fn segments_of_a_fenced_writer_are_not_registered() {
    let scene = Scene::new().await;
    let shop = namespace("shop");
    let mut old = scene.take(&shop, "a", 7).await.unwrap();
    store(&mut old, 1).await.unwrap();
    sync_segments(&scene.bucket, &scene.catalog, &shop, Look::Whole).await.unwrap();
    let before = scene.catalog.segments(&shop, None, 99).unwrap();
    let _new = scene.take(&shop, "b", 8).await.unwrap();
    assert!(matches!(store(&mut old, 1).await, Err(Error::Fenced { .. })));
    let changes = sync_segments(&scene.bucket, &scene.catalog, &shop, Look::Whole).await.unwrap();
    assert_eq!((changes.added, scene.catalog.segments(&shop, None, 99).unwrap()), (0, before));
}

#[tokio::test]
async fn a_restored_catalog_says_which_logs_are_gone() {
    let scene = Scene::new().await;
    init(&scene.bucket, &scene.catalog, &seeded(2)).await.unwrap();
    copy(&scene.bucket, &scene.catalog, &seeded(70)).await.unwrap();
    remove(&scene.bucket, &namespace("shop"), &seeded(60)).await.unwrap();
    let restored = empty(4, 9);
    let report = restore(&scene.bucket, &restored, &seeded(4)).await.unwrap();
    assert_eq!(report.differing.len(), 1, "{report:?}");
    assert!(report.differing[0].contains("shop"), "{report:?}");
    assert_eq!(restored.namespace(&namespace("shop")).unwrap().state, NamespaceState::Tombstone);
    assert_eq!(restored.namespace(&namespace("app")).unwrap().state, NamespaceState::Active);
    assert_eq!(restored.segments(&namespace("app"), None, 9).unwrap().len(), 3);
}

#[tokio::test]
async fn the_registry_follows_what_is_stored_with_few_requests() {
    let scene = Scene::new().await;
    let name = namespace("shop");
    let mut writer = scene.take(&name, "b", 90).await.unwrap();
    store(&mut writer, 3).await.unwrap();
    let changes = sync_segments(&scene.bucket, &scene.catalog, &name, Look::Newest).await.unwrap();
    assert_eq!((changes.added, changes.removed, changes.unchanged), (3, 0, 2));
    let again = sync_segments(&scene.bucket, &scene.catalog, &name, Look::Newest).await.unwrap();
    assert!(again.is_none());
    let listed = scene.backend.objects().into_keys().filter(|path| path.as_str().contains("/shop/segments/"));
    let listed = listed.map(|path| path.name().to_string()).collect::<Vec<_>>();
    let registered = scene.catalog.segments(&name, None, 99).unwrap();
    assert_eq!(registered.iter().map(|one| one.key.to_string()).collect::<Vec<_>>(), listed);
}

/// The loser of a namespace is told by its next call of the store.
async fn loser_is_fenced<B: Backend>(backend: B) {
    let bucket = Bucket::new(Arc::new(backend), None).unwrap();
    let catalog = empty(4, 1);
    let name = namespace("shop");
    catalog.create_namespace(&name, &NamespaceSettings::default()).unwrap();
    for id in ["a", "b"] {
        catalog.register_node(&node(id), &format!("{id}:1"), &Default::default()).unwrap();
    }
    let take = async |to: &str, over, seed| {
        take_over(&catalog, &bucket, &name, &node(to), over, PageSize::MIN, &seeded(seed)).await
    };
    let mut first = take("a", Some(Generation::NONE), 10).await.unwrap();
    assert_eq!(first.assignment.epoch, Some(first.writer.epoch()));
    store(&mut first.writer, 2).await.unwrap();
    let mut second = take("b", Some(first.assignment.generation), 11).await.unwrap();
    assert!(second.assignment.epoch > first.assignment.epoch);
    let late = store(&mut first.writer, 1).await.unwrap_err();
    assert!(matches!(late, Error::Fenced { .. }), "{late}");
    store(&mut second.writer, 1).await.unwrap();
    assert_eq!(
        second.writer.next_frame_no().unwrap(),
        FrameNo::new(4).unwrap(),
        "no frame was written twice"
    );

    // Who plans over what was is refused before the store is touched.
    let void = take("a", Some(first.assignment.generation), 12).await.unwrap_err();
    assert!(matches!(void, Error::Fenced { .. }), "{void}");
    store(&mut second.writer, 1).await.unwrap();
    let assignment = catalog.assignment(&name).unwrap().unwrap();
    assert_eq!(assignment, second.assignment);
    assert_eq!(catalog.namespace(&name).unwrap().log_id, Some(second.writer.log_id()));
}

#[tokio::test]
async fn who_lost_a_namespace_is_fenced_in_memory() {
    loser_is_fenced(Memory::new()).await;
}

#[tokio::test]
async fn who_lost_a_namespace_is_fenced_in_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    loser_is_fenced(Fs::new(FsConfig::create(directory.path()).unwrap())).await;
}

#[tokio::test]
async fn who_lost_a_namespace_is_fenced_in_redb() {
    let handles = seeded(5);
    let config = RedbConfig::in_memory(ShardCount::new(4).unwrap(), &handles.clock, &*handles.random);
    loser_is_fenced(Redb::new(config.unwrap())).await;
}

/// A restoring that is cut short at any create goes on when it is begun again, in the same catalog.
#[tokio::test]
async fn a_restoring_that_was_cut_short_goes_on() {
    let scene = Scene::new().await;
    init(&scene.bucket, &scene.catalog, &seeded(2)).await.unwrap();
    copy(&scene.bucket, &scene.catalog, &seeded(70)).await.unwrap();
    let before = records(&*scene.catalog);
    let mut cut_short = 0;
    for (at, fault) in
        (0..9).flat_map(|at| [Fault::Unavailable, Fault::ApplyThenUnavailable].map(|fault| (at, fault)))
    {
        // A copy of the store, so that each restoring finds the same.
        let backend = Memory::new();
        for (path, bytes) in scene.backend.objects() {
            backend.put_new(None, &path, bytes.to_vec().into()).await.unwrap();
        }
        let flaky = Arc::new(Flaky::new(backend));
        let bucket = Bucket::new(Arc::clone(&flaky), None).unwrap();
        flaky.after(at, fault);
        let restored = empty(4, 9);
        let first = restore(&bucket, &restored, &seeded(4)).await;
        assert!(!flaky.is_armed());
        cut_short += u32::from(first.is_err());
        restore(&bucket, &restored, &seeded(6)).await.unwrap_or_else(|error| panic!("create {at}: {error}"));
        assert_eq!(records(&*restored), before, "create {at}");
        // And it can be restored from.
        let third = empty(2, 11);
        restore(&bucket, &third, &seeded(7)).await.unwrap();
        assert_eq!(records(&*third), before, "create {at}");
    }
    assert_eq!(cut_short, 16, "all but those of the claim itself, which resolve");
}

#[cfg(feature = "s3-tests")]
#[tokio::test]
async fn who_lost_a_namespace_is_fenced_on_s3() {
    use walkeep::backends::object::{Credentials, Object, ObjectConfig, Secret};
    use walkeep_tests::s3::S3;

    let s3 = S3::fenced();
    let store = s3.url("catalog-takeover");
    let [(_, id), (_, secret)] = s3.variables();
    let credentials = Credentials::access_key(id, Secret::new(secret));
    loser_is_fenced(Object::new(ObjectConfig::open(&store.parse().unwrap(), &credentials).unwrap())).await;
}
