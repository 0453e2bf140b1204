use super::*;

/// As GitHub documents them, and fills them in a job.
macro_rules! payload {
    ($name:literal) => {
        serde_json::from_str::<Value>(include_str!(concat!("../../../../tests/events/", $name, ".json")))
            .expect("a payload")
    };
}

/// Of the payloads: a push from one to the other.
const BEFORE: &str = "6113728f27ae82c7b1a177c8d03f9e96e0adf246";
const AFTER: &str = "59b20b8d5c6ff8d09518454d4dd8b7b30f095ab5";
/// Of a pull request: the branch's newest commit, the request's, and their merge, which is checked out.
const BRANCH: &str = "f95f852bd8fca8fcc58a9a2d6c842781e32a215e";
const CHANGE: &str = "ec26c3e57ca3a959ca5aad62de7213c562f8c821";
const MERGE: &str = "9049f1265b7d61be4a8904a9a27120d2064dab3b";
const OTHER: &str = "0000000000000000000000000000000000000001";

fn job<'a>(event: &'a str, payload: &'a Value, sha: &'a str) -> Situation<'a> {
    Situation {
        in_job: true,
        event,
        payload: Some(payload),
        sha: Some(sha),
        checked_out: Some(sha),
        base: None,
    }
}

fn between(base: Base, head: &str) -> Comparison {
    let head = Head::Commit(head.to_owned());
    Comparison::Between { base, head }
}

fn reason(situation: &Situation<'_>) -> String {
    match comparison(situation) {
        Comparison::Everything { reason } => reason,
        between @ Comparison::Between { .. } => panic!("no reason for everything: {between:?}"),
    }
}

#[test]
fn a_pull_request_is_what_it_changes_itself() {
    let merge_base = || Base::MergeBase {
        branch: BRANCH.into(),
        change: CHANGE.into(),
    };
    for (event, payload, sha) in [
        ("pull_request", payload!("pull_request"), MERGE),
        // From a fork; the checkout is the base branch.
        ("pull_request_target", payload!("pull_request_target"), BRANCH),
    ] {
        let merged = job(event, &payload, sha);
        assert_eq!(comparison(&merged), between(merge_base(), CHANGE), "{event}");
        for (checked_out, head) in [
            (None, CHANGE),
            (Some(CHANGE), CHANGE),
            // Something else was checked out, and is built.
            (Some(OTHER), OTHER),
        ] {
            let situation = Situation {
                checked_out,
                ..merged
            };
            assert_eq!(
                comparison(&situation),
                between(merge_base(), head),
                "{event} {checked_out:?}"
            );
        }
    }
}

#[test]
fn a_push_is_what_came_with_it() {
    let payload = payload!("push");
    let push = job("push", &payload, AFTER);
    let base = || Base::Commit(BEFORE.into());
    assert_eq!(comparison(&push), between(base(), AFTER));
    let other = Situation {
        checked_out: Some(OTHER),
        ..push
    };
    assert_eq!(comparison(&other), between(base(), OTHER));
    let no_clone = Situation {
        checked_out: None,
        ..push
    };
    assert_eq!(comparison(&no_clone), between(base(), AFTER));
}

#[test]
fn a_push_with_nothing_before_it_is_everything() {
    for (payload, expected) in [
        (
            payload!("push_new_branch"),
            "the push created the branch: there is no commit before it",
        ),
        (
            payload!("push_tag"),
            "the push created the tag: there is no commit before it",
        ),
        (
            payload!("push_forced"),
            "the push was forced: what was there before is not what was built on",
        ),
        (payload!("push_deleted"), "the push deleted the branch or tag"),
    ] {
        assert_eq!(reason(&job("push", &payload, AFTER)), expected);
    }
    // The zeros are enough, of either length.
    for (field, zeros) in [("before", 40), ("before", 64), ("after", 40), ("after", 64)] {
        let mut payload = payload!("push");
        payload[field] = "0".repeat(zeros).into();
        let reason = reason(&job("push", &payload, AFTER));
        assert!(reason.starts_with("the push "), "{field} {zeros}: {reason}");
    }
}

#[test]
fn a_merge_group_has_its_own_commits() {
    let payload = payload!("merge_group");
    assert_eq!(
        comparison(&job("merge_group", &payload, CHANGE)),
        between(Base::Commit(BRANCH.into()), CHANGE)
    );
}

#[test]
fn other_events_are_everything() {
    for (event, payload) in [
        ("workflow_dispatch", payload!("workflow_dispatch")),
        ("schedule", payload!("schedule")),
        ("release", payload!("release")),
        // It has a pull request, but is about something else.
        ("pull_request_review", payload!("pull_request")),
    ] {
        assert_eq!(
            reason(&job(event, &payload, AFTER)),
            format!("the event {event} has no commit to compare with")
        );
    }
}

#[test]
fn a_payload_that_says_too_little_is_everything() {
    // As act makes one up.
    let empty = serde_json::json!({});
    for (event, expected) in [
        ("push", "the payload of the event has no commit in before"),
        (
            "pull_request",
            "the payload of the event has no commit in pull_request.base.sha",
        ),
        (
            "merge_group",
            "the payload of the event has no commit in merge_group.base_sha",
        ),
        ("", "the name of the event is not known"),
    ] {
        assert_eq!(reason(&job(event, &empty, AFTER)), expected);
    }
    let unread = Situation {
        payload: None,
        ..job("push", &empty, AFTER)
    };
    assert_eq!(reason(&unread), "the payload of the event push cannot be read");
    let mut payload = payload!("push");
    payload["before"] = "main --output=/etc/passwd".into();
    assert_eq!(
        reason(&job("push", &payload, AFTER)),
        "the payload of the event has no commit in before"
    );
}

#[test]
fn the_input_decides_before_the_event() {
    let payload = payload!("push_new_branch");
    let push = job("push", &payload, AFTER);
    let named = |base| Situation {
        base: Some(base),
        ..push
    };
    let base = || Base::Named("main".into());
    assert_eq!(comparison(&named("main")), between(base(), AFTER));
    let other = Situation {
        checked_out: Some(OTHER),
        ..named("main")
    };
    assert_eq!(comparison(&other), between(base(), OTHER));
    let nothing = Situation {
        checked_out: None,
        sha: None,
        ..named("main")
    };
    assert_eq!(
        reason(&nothing),
        "there is no commit to compare with the input base"
    );
    assert_eq!(
        reason(&named("--all")),
        "the input base is --all, which names no commit"
    );
}

#[test]
fn on_a_laptop_only_the_input_says_what_to_compare_with() {
    let laptop = Situation {
        checked_out: Some(AFTER),
        ..Situation::default()
    };
    assert_eq!(
        reason(&laptop),
        "outside of GitHub Actions only the input base says what to compare with"
    );
    let with_base = Situation {
        base: Some("main"),
        ..laptop
    };
    let expected = Comparison::Between {
        base: Base::Named("main".into()),
        head: Head::WorkTree,
    };
    assert_eq!(comparison(&with_base), expected);
}
