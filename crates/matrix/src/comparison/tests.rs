use super::*;

/// Reads a payload as GitHub documents it, with the fields that it has in a job.
macro_rules! payload {
    ($name:literal) => {
        serde_json::from_str::<Value>(include_str!(concat!("../../../../tests/events/", $name, ".json")))
            .expect("a payload")
    };
}

/// The payloads' push goes from one to the other.
const BEFORE: &str = "6113728f27ae82c7b1a177c8d03f9e96e0adf246";
const AFTER: &str = "59b20b8d5c6ff8d09518454d4dd8b7b30f095ab5";
/// The commits of the payloads' pull request: the base branch, the head, and their merge, which is checked out.
const BRANCH: &str = "f95f852bd8fca8fcc58a9a2d6c842781e32a215e";
const CHANGE: &str = "ec26c3e57ca3a959ca5aad62de7213c562f8c821";
const MERGE: &str = "9049f1265b7d61be4a8904a9a27120d2064dab3b";
const OTHER: &str = "0000000000000000000000000000000000000001";

fn job<'a>(event: &'a str, payload: &'a Value, sha: &'a str) -> EventContext<'a> {
    EventContext {
        in_job: true,
        event,
        payload: Some(payload),
        sha: Some(sha),
        checked_out: Some(sha),
        base: None,
    }
}

fn between(base: Base, head: &str) -> Result<Comparison, NoComparison> {
    let head = Head::Commit(head.to_owned());
    Ok(Comparison { base, head })
}

fn reason(context: &EventContext<'_>) -> String {
    match comparison(context) {
        Err(reason) => reason.to_string(),
        Ok(comparison) => panic!("no reason to build all targets: {comparison:?}"),
    }
}

#[test]
fn a_pull_request_is_compared_with_its_merge_base() {
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
            // Another commit is checked out, and is built.
            (Some(OTHER), OTHER),
        ] {
            let context = EventContext {
                checked_out,
                ..merged
            };
            assert_eq!(
                comparison(&context),
                between(merge_base(), head),
                "{event} {checked_out:?}"
            );
        }
    }
}

#[test]
fn a_push_is_compared_with_the_commit_before() {
    let payload = payload!("push");
    let push = job("push", &payload, AFTER);
    let base = || Base::Commit(BEFORE.into());
    assert_eq!(comparison(&push), between(base(), AFTER));
    let other = EventContext {
        checked_out: Some(OTHER),
        ..push
    };
    assert_eq!(comparison(&other), between(base(), OTHER));
    let no_clone = EventContext {
        checked_out: None,
        ..push
    };
    assert_eq!(comparison(&no_clone), between(base(), AFTER));
}

#[test]
fn a_push_without_a_commit_before_builds_all() {
    for (payload, expected) in [
        (
            payload!("push_new_branch"),
            "the push created the branch, so there is no commit before it",
        ),
        (
            payload!("push_tag"),
            "the push created the tag, so there is no commit before it",
        ),
        (
            payload!("push_forced"),
            "the push was forced, so the commit before it is not an ancestor",
        ),
        (payload!("push_deleted"), "the push deleted the branch or tag"),
    ] {
        assert_eq!(reason(&job("push", &payload, AFTER)), expected);
    }
    // The zeros suffice, in either length.
    for (field, zeros) in [("before", 40), ("before", 64), ("after", 40), ("after", 64)] {
        let mut payload = payload!("push");
        payload[field] = "0".repeat(zeros).into();
        let reason = reason(&job("push", &payload, AFTER));
        assert!(reason.starts_with("the push "), "{field} {zeros}: {reason}");
    }
}

#[test]
fn a_merge_group_is_compared_with_its_base() {
    let payload = payload!("merge_group");
    assert_eq!(
        comparison(&job("merge_group", &payload, CHANGE)),
        between(Base::Commit(BRANCH.into()), CHANGE)
    );
}

#[test]
fn other_events_build_all() {
    for (event, payload) in [
        ("workflow_dispatch", payload!("workflow_dispatch")),
        ("schedule", payload!("schedule")),
        ("release", payload!("release")),
        // Its payload has a pull request, but the event is about a review.
        ("pull_request_review", payload!("pull_request")),
    ] {
        assert_eq!(
            reason(&job(event, &payload, AFTER)),
            format!("the event {event} has no commit to compare with")
        );
    }
}

#[test]
fn an_incomplete_payload_builds_all() {
    // As act makes it up.
    let empty = serde_json::json!({});
    for (event, expected) in [
        ("push", "the payload of the event has no commit in `before`"),
        (
            "pull_request",
            "the payload of the event has no commit in `pull_request.base.sha`",
        ),
        (
            "merge_group",
            "the payload of the event has no commit in `merge_group.base_sha`",
        ),
        ("", "GITHUB_EVENT_NAME is not set"),
    ] {
        assert_eq!(reason(&job(event, &empty, AFTER)), expected);
    }
    let unread = EventContext {
        payload: None,
        ..job("push", &empty, AFTER)
    };
    assert_eq!(reason(&unread), "cannot read the payload of the event push");
    let mut payload = payload!("push");
    payload["before"] = "main --output=/etc/passwd".into();
    assert_eq!(
        reason(&job("push", &payload, AFTER)),
        "the payload of the event has no commit in `before`"
    );
}

#[test]
fn the_input_base_takes_precedence_over_the_event() {
    let payload = payload!("push_new_branch");
    let push = job("push", &payload, AFTER);
    let named = |base| EventContext {
        base: Some(base),
        ..push
    };
    let base = || Base::Named("main".into());
    assert_eq!(comparison(&named("main")), between(base(), AFTER));
    let other = EventContext {
        checked_out: Some(OTHER),
        ..named("main")
    };
    assert_eq!(comparison(&other), between(base(), OTHER));
    let nothing = EventContext {
        checked_out: None,
        sha: None,
        ..named("main")
    };
    assert_eq!(
        reason(&nothing),
        "there is no commit to compare with the input `base`"
    );
    assert_eq!(
        reason(&named("--all")),
        "the input `base` is --all, which is not a commit, branch or tag"
    );
}

#[test]
fn outside_a_job_a_comparison_needs_the_input_base() {
    let laptop = EventContext {
        checked_out: Some(AFTER),
        ..EventContext::default()
    };
    assert_eq!(
        reason(&laptop),
        "outside GitHub Actions a comparison needs `--base`"
    );
    let with_base = EventContext {
        base: Some("main"),
        ..laptop
    };
    let expected = Comparison {
        base: Base::Named("main".into()),
        head: Head::WorkTree,
    };
    assert_eq!(comparison(&with_base), Ok(expected));
}
