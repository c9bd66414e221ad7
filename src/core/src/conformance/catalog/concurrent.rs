//! Many hands on one catalog: what was checked still holds when it is written.

use super::{create, frame, group, member, must, namespace, node_id, register};
use crate::catalog::{Ack, Catalog, Generation, NamespaceSettings};
use crate::error::Error;

const HANDS: u64 = 8;

/// Of many who create one name at the same time, one does.
///
/// # Panics
///
/// Where the catalog does not conform.
pub fn one_of_many_creates_wins(catalog: &dyn Catalog) {
    for round in 0..4 {
        let name = namespace(&format!("race-{round}"));
        let create = || catalog.create_namespace(&name, &NamespaceSettings::default());
        let outcomes = std::thread::scope(|scope| {
            let hands = (0..HANDS).map(|_| scope.spawn(create)).collect::<Vec<_>>();
            hands.into_iter().map(|hand| joined(hand.join())).collect::<Vec<_>>()
        });
        let won = outcomes.iter().flatten().collect::<Vec<_>>();
        assert_eq!(won.len(), 1, "round {round}: {outcomes:?}");
        for error in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
            assert!(matches!(error, Error::AlreadyExists { .. }), "{error}");
        }
        assert_eq!(Some(&must(catalog.namespace(&name))), won.first().copied());
    }
}

/// Of many who take a namespace over one generation, one gets it.
///
/// # Panics
///
/// Where the catalog does not conform.
pub fn of_many_takers_of_one_generation_one_wins(catalog: &dyn Catalog) {
    create(catalog, "taken");
    let name = namespace("taken");
    let nodes = (0..HANDS).map(|n| format!("taker-{n}")).collect::<Vec<_>>();
    for node in &nodes {
        register(catalog, node);
    }
    for round in 0..4 {
        let take = |node: &str| catalog.assign(&name, &node_id(node), Some(Generation(round)));
        let outcomes = std::thread::scope(|scope| {
            let hands = nodes.iter().map(|node| scope.spawn(move || take(node))).collect::<Vec<_>>();
            hands.into_iter().map(|hand| joined(hand.join())).collect::<Vec<_>>()
        });
        let won = outcomes.iter().flatten().collect::<Vec<_>>();
        assert_eq!(won.len(), 1, "round {round}: {outcomes:?}");
        assert_eq!(must(catalog.assignment(&name)).as_ref(), won.first().copied());
    }
    let has = |node: &String| must(catalog.assignments_of(&node_id(node), None, 9)).len();
    assert_eq!(nodes.iter().map(has).sum::<usize>(), 1, "it stands with one node");
}

/// Many threads acknowledge for some members, in any order: each position is the highest frame that was accepted, and no
/// thread ever sees one go back.
///
/// # Panics
///
/// Where the catalog does not conform.
pub fn positions_only_rise_under_many_hands(catalog: &dyn Catalog) {
    create(catalog, "hands");
    let (name, one) = (namespace("hands"), group("g"));
    must(catalog.create_group(&name, &one));
    let members = ["m0", "m1", "m2"].map(member);
    let hand = |seed: u64| {
        let (mut state, mut highest) = (seed, [0_u64; 3]);
        for _ in 0..60 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (number, which) = (1 + (state >> 33) % 500, (state >> 50) % 3);
            for (n, two) in members.iter().enumerate().filter(|(n, _)| *n as u64 == which) {
                let durable = Some(frame(400));
                let ack =
                    Ack { namespace: &name, group: &one, member: two, frame_no: frame(number), durable };
                let outcome = catalog.ack(&ack);
                let now = must(catalog.position(&name, &one, two)).map_or(0, |now| now.frame_no.get());
                for highest in highest.iter_mut().skip(n).take(1) {
                    match &outcome {
                        Ok(position) => assert_eq!(position.frame_no.get(), number),
                        Err(Error::Invalid { .. }) => assert!(number > 400 || number < now, "{number} {now}"),
                        Err(error) => panic!("{error}"),
                    }
                    assert!(now >= *highest, "the position went from {highest} to {now}");
                    *highest = now;
                }
            }
        }
    };
    std::thread::scope(|scope| {
        let hands = (0..HANDS).map(|seed| scope.spawn(move || hand(seed * 77 + 1))).collect::<Vec<_>>();
        for hand in hands {
            joined(hand.join());
        }
    });
    for position in must(catalog.positions(&name, &one, None, 9)) {
        assert!(position.frame_no <= frame(400), "{position:?}");
    }
}

fn joined<T>(outcome: std::thread::Result<T>) -> T {
    outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
