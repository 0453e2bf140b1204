use super::Case;

#[test]
fn errors_have_their_line() {
    for (text, expected) in [
        ("", "line 1: the Dockerfile has no instructions"),
        ("# only a comment\n", "line 1: the Dockerfile has no instructions"),
        ("ARG A=1", "line 1: the Dockerfile has no FROM"),
        ("\n\nCOPY a /x/", "line 3: no FROM before this instruction"),
        (
            "FROM a\nRUN x \\\n  y\nFETCH b",
            "line 4: unknown instruction: FETCH",
        ),
        ("FROM a\nONBUILD Füße b", "line 2: unknown instruction: Füße"),
        (
            "FROM a\n\nCOPY <<EOF /x/\nb",
            "line 3: unterminated here-document: EOF",
        ),
        (
            "FROM a\nCOPY /x/",
            "line 2: COPY needs a source and a destination",
        ),
        ("FROM a\nCOPY --form=b c /x/", "line 2: unknown flag: --form"),
        ("FROM a\nADD --from=b c /x/", "line 2: unknown flag: --from"),
        (
            "FROM a\nCOPY --from=b --from=c d /x/",
            "line 2: --from is given more than once",
        ),
        (
            "FROM a\nCOPY --parents=maybe d /x/",
            "line 2: --parents must be true or false, not maybe",
        ),
        (
            "FROM a\nCOPY [\"a\", 1]",
            "line 2: a JSON array may contain only strings",
        ),
        (
            "FROM a b",
            "line 1: FROM needs an image, or an image, AS and a name",
        ),
        ("FROM a AS 1b", "line 1: invalid stage name: 1b"),
        ("FROM $NONE", "line 1: $NONE expands to an empty image name"),
        (
            "FROM a\nCOPY --from=0 b /x/",
            "line 2: there is no stage 0 before this one",
        ),
        (
            "FROM a\nCOPY --from=$B b /x/",
            "line 2: `from` cannot contain variables: $B",
        ),
        ("FROM a\nCOPY --from=z b /x/\nFROM c AS z\nFROM a", ""),
        (
            "FROM a AS b\nCOPY --from=z b /x/\nFROM c AS z\nFROM b",
            "line 2: there is no stage z before this one",
        ),
        ("FROM a\nENV b", "line 2: ENV needs a name and a value"),
        ("FROM a\nARG =b", "line 2: ARG needs a name before ="),
        (
            "FROM a\nONBUILD FROM b",
            "line 2: ONBUILD needs another instruction",
        ),
        (
            "FROM a\nRUN --mount=\"\\\"a\" b",
            "line 2: unterminated quote in --mount",
        ),
        ("# escape=x\nFROM a", "line 1: invalid escape character: x"),
        (
            "# check=x\n# check=y\nFROM a",
            "line 2: duplicate directive: check",
        ),
    ] {
        assert_eq!(
            Case {
                text,
                ..Case::default()
            }
            .formatted(),
            expected,
            "{text}"
        );
    }
}
