use super::Case;

#[test]
fn faults_have_their_line() {
    for (text, expected) in [
        ("", "line 1: the Dockerfile has no instructions"),
        ("# only a comment\n", "line 1: the Dockerfile has no instructions"),
        ("ARG A=1", "line 1: there is no FROM"),
        ("\n\nCOPY a /x/", "line 3: there is no FROM before this"),
        (
            "FROM a\nRUN x \\\n  y\nFETCH b",
            "line 4: unknown instruction: fetch",
        ),
        (
            "FROM a\n\nCOPY <<EOF /x/\nb",
            "line 3: the here-document EOF does not end",
        ),
        (
            "FROM a\nCOPY /x/",
            "line 2: COPY wants a source and a destination",
        ),
        ("FROM a\nCOPY --form=b c /x/", "line 2: unknown flag: --form"),
        ("FROM a\nADD --from=b c /x/", "line 2: unknown flag: --from"),
        (
            "FROM a\nCOPY --from=b --from=c d /x/",
            "line 2: --from is there more than once",
        ),
        (
            "FROM a\nCOPY --parents=maybe d /x/",
            "line 2: --parents is true or false, not maybe",
        ),
        (
            "FROM a\nCOPY [\"a\", 1]",
            "line 2: an array may hold strings only",
        ),
        (
            "FROM a b",
            "line 1: FROM wants an image, or an image, AS, and a name",
        ),
        ("FROM a AS 1b", "line 1: 1b cannot be the name of a stage"),
        ("FROM $NONE", "line 1: $NONE comes to no image"),
        (
            "FROM a\nCOPY --from=0 b /x/",
            "line 2: there is no stage 0 before this one",
        ),
        (
            "FROM a\nCOPY --from=$B b /x/",
            "line 2: from takes no variables: $B",
        ),
        ("FROM a\nCOPY --from=z b /x/\nFROM c AS z\nFROM a", ""),
        (
            "FROM a AS b\nCOPY --from=z b /x/\nFROM c AS z\nFROM b",
            "line 2: the stage z is not before this one",
        ),
        ("FROM a\nENV b", "line 2: ENV wants a name and a value"),
        ("FROM a\nARG =b", "line 2: ARG wants a name before ="),
        (
            "FROM a\nONBUILD FROM b",
            "line 2: ONBUILD wants another instruction after it",
        ),
        (
            "FROM a\nRUN --mount=\"\\\"a\" b",
            "line 2: a quote of a mount does not end",
        ),
        ("# escape=x\nFROM a", "line 1: x cannot be the escape character"),
        (
            "# check=x\n# check=y\nFROM a",
            "line 2: there is more than one directive check",
        ),
    ] {
        assert_eq!(
            Case {
                text,
                ..Case::default()
            }
            .shown(),
            expected,
            "{text}"
        );
    }
}
