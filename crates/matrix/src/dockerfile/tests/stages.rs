use super::super::has_onbuild;
use super::Case;

#[test]
fn only_needed_stages_are_evaluated() {
    let text = "ARG B=base\nFROM scratch AS Base\nCOPY a /x/\nFROM alpine AS other\nCOPY b /x/\nFROM $B AS last\nCOPY c /x/\n\
                FROM scratch AS copies\nCOPY --from=LAST x y /x/\nFROM scratch AS numbers\nCOPY --from=1 x /x/\n\
                FROM scratch AS mounts\nRUN --mount=from=other,target=/x true\nFROM scratch\nCOPY d /x/";
    for (stage, expected) in [
        (None, "15 context d"),
        (Some(""), "15 context d"),
        (Some("base"), "3 context a"),
        (Some("BASE"), "3 context a"),
        (Some("last"), "3 context a\n7 context c"),
        (Some("copies"), "3 context a\n7 context c"),
        (Some("numbers"), "5 context b"),
        (Some("mounts"), "5 context b"),
        (Some("none"), "line 1: there is no stage none"),
    ] {
        assert_eq!(
            Case {
                text,
                stage,
                ..Case::default()
            }
            .formatted(),
            expected,
            "{stage:?}"
        );
    }
}

#[test]
fn onbuild_instructions_run_in_stages_based_on_theirs() {
    let text = "FROM scratch AS base\nARG D=a\nONBUILD COPY $D /x/\nONBUILD COPY --from=tools x /x/\nFROM scratch AS tools\n\
                COPY t /x/\nFROM base AS next\nCOPY b /x/\nFROM next AS after\nCOPY c /x/";
    for (stage, expected) in [
        ("base", ""),
        ("next", "3 context a\n6 context t\n8 context b"),
        ("after", "3 context a\n6 context t\n8 context b\n10 context c"),
    ] {
        assert_eq!(
            Case {
                text,
                stage: Some(stage),
                ..Case::default()
            }
            .formatted(),
            expected,
            "{stage}"
        );
    }
    assert!(has_onbuild(text));
    assert!(!has_onbuild("FROM scratch\nCOPY onbuild /x/"));
    let text = "FROM node:8-onbuild\nCOPY a /x/";
    let expected = "1 context all: its base image may have ONBUILD instructions\n2 context a";
    assert_eq!(
        Case {
            text,
            ..Case::default()
        }
        .formatted(),
        expected
    );
}

#[test]
fn named_contexts() {
    for (text, contexts, expected) in [
        (
            "FROM alpine\nCOPY a /x/",
            &["alpine"][..],
            "1 alpine all: a stage is based on it\n2 context a",
        ),
        (
            "FROM alpine:latest",
            &["docker.io/library/alpine"],
            "1 docker.io/library/alpine all: a stage is based on it",
        ),
        ("FROM alpine:3", &["alpine"], ""),
        ("FROM scratch\nCOPY --from=src a b*/ /x/", &["src"], "2 src a, b*"),
        (
            "FROM scratch\nCOPY --from=src / /x/",
            &["src"],
            "2 src all: the whole context is copied",
        ),
        (
            "FROM scratch\nRUN --mount=from=src,source=a,target=/x true",
            &["src"],
            "2 src a",
        ),
        (
            "FROM scratch\nRUN --mount=type=cache,from=src,target=/x true",
            &["src"],
            "2 src all: the whole context is mounted",
        ),
        (
            "FROM scratch\nCOPY --from=context a /x/",
            &["context", "scratch"],
            "",
        ),
        (
            "FROM scratch AS a\nCOPY b /x/\nFROM scratch\nCOPY --from=a c /x/",
            &["a"],
            "4 a c",
        ),
        (
            "FROM scratch AS a\nCOPY b /x/\nFROM a\nCOPY c /x/",
            &["a"],
            "3 a all: a stage is based on it\n4 context c",
        ),
        (
            "FROM scratch AS a\nCOPY b /x/",
            &["a"],
            "1 a all: a stage is based on it",
        ),
        (
            "FROM scratch AS a\nCOPY b /x/\nFROM scratch\nCOPY --from=a c /x/",
            &["a::linux/arm64"],
            "2 context b\n4 a::linux/arm64 c",
        ),
        ("FROM a AS b\nFROM b AS c\nFROM scratch", &["a"], ""),
    ] {
        assert_eq!(
            Case {
                text,
                contexts,
                ..Case::default()
            }
            .formatted(),
            expected,
            "{text}"
        );
    }
}

#[test]
fn an_unknown_base_may_be_any_stage() {
    let text = "FROM scratch AS a\nCOPY a /x/\nONBUILD COPY b /x/\nFROM a-$BUILDARCH\nCOPY c /x/";
    let expected = "2 context a\n3 context b\n4 other all: a stage is based on it\n5 context c";
    assert_eq!(
        Case {
            text,
            contexts: &["other"],
            ..Case::default()
        }
        .formatted(),
        expected
    );
}
