//! Forks, and deleting what they come from.

use walkeep_model::forks::{ABORTED, FORKED, Family, GONE, Rules, search};

/// Answers that may be lost.
const LOST: u8 = 2;

#[test]
fn what_a_fork_reads_is_stored_whatever_is_forked_detached_and_deleted_at_once() {
    let (states, holds, reached) = search(Family { rules: Rules::all(), lost: LOST });
    println!("forks: {states} states");
    assert!(holds);
    assert_eq!(reached, [FORKED, ABORTED, GONE].into());
}

#[test]
fn each_rule_about_forks_is_needed() {
    let all = Rules::all();
    for (name, rules) in [
        ("listed_first", Rules { listed_first: false, ..all }),
        ("aborted_first", Rules { aborted_first: false, ..all }),
        ("version_from_before", Rules { version_from_before: false, ..all }),
        ("kept_for_forks", Rules { kept_for_forks: false, ..all }),
        ("tombstone_first", Rules { tombstone_first: false, ..all }),
        ("detached_before_unlinked", Rules { detached_before_unlinked: false, ..all }),
    ] {
        let (states, holds, _) = search(Family { rules, lost: LOST });
        println!("without {name}: {states} states");
        assert!(!holds, "{name}");
    }
}
