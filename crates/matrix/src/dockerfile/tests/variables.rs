use super::Case;

const UNKNOWN: &str = "3 context all: a source depends on an unknown variable";

#[test]
fn variables() {
    for (instructions, expected) in [
        ("ARG D=src\nCOPY $D/a ${D}b /x/", "3 context src/a, srcb"),
        ("ENV A=1 B=$A\nCOPY a$B /x/", "3 context a"),
        ("ENV A=1\nENV A=2 B=$A\nCOPY a$A$B /x/", "4 context a21"),
        ("ENV A b c\nCOPY [\"$A\", \"/x/\"]", "3 context b c"),
        ("ARG A=\"b c\"\nCOPY \"$A\" /x/", "3 context b c"),
        ("ENV A=1\nARG A=2\nCOPY a$A /x/", "4 context a2"),
        ("COPY '$A' \\$A \"\\$A\" /x/", "2 context $A, $A, $A"),
        ("COPY a$NONE /x/", "2 context a"),
        ("COPY $NONE /x/", "2 context all: the whole context is copied"),
        ("COPY a${NONE:-b}${NONE-c} /x/", "2 context abc"),
        ("ENV E=\nCOPY a${E:-b}${E-c}${E:+d}${E+e} /x/", "3 context abe"),
        (
            "ENV V=1.2.3\nCOPY a${V%.*} b${V%%.*} c${V#*.} d${V##*.} /x/",
            "3 context a1.2, b1, c2.3, d3",
        ),
        (
            "ENV V=1.2.3\nCOPY a${V/./-} b${V//./-} /x/",
            "3 context a1-2.3, b1-2-3",
        ),
        ("COPY ${NONE:?wanted} /x/", "line 2: NONE: wanted"),
        ("COPY ${A /x/", "line 2: missing }"),
        ("COPY ${} /x/", "line 2: bad substitution"),
        (
            "ARG T=bind S=a\nRUN --mount=type=$T,source=$S,target=/x true",
            "3 context a",
        ),
        ("COPY --exclude=$A a /x/", "2 context a without $A"),
        ("ARG GIVEN=default\nCOPY $GIVEN /x/", "3 context given"),
        ("ARG GIVEN\nCOPY a-$GIVEN /x/", "3 context a-given"),
        ("COPY a-$GIVEN /x/", "2 context a-"),
        (
            "ARG TARGETARCH TARGETPLATFORM\nCOPY $TARGETPLATFORM/$TARGETARCH /x/",
            "3 context linux/arm64/arm64",
        ),
        ("ARG BUILDARCH\nCOPY $BUILDARCH /x/", UNKNOWN),
    ] {
        let text = format!("FROM scratch\n{instructions}");
        let case = Case {
            text: &text,
            args: &[("GIVEN", "given")],
            platforms: &["linux/arm64/v8"],
            ..Case::default()
        };
        assert_eq!(case.formatted(), expected, "{instructions}");
    }
}

#[test]
fn variables_of_a_registry_image_are_unknown() {
    for (instructions, expected) in [
        ("WORKDIR /\nCOPY a$A /x/", UNKNOWN),
        ("ARG A\nCOPY a$A /x/", UNKNOWN),
        ("ARG A=b\nCOPY a$A /x/", "3 context ab"),
        ("ENV A=b$C\nCOPY a$A /x/", UNKNOWN),
        ("ENV A=b$C\nCOPY a${A:-c} /x/", UNKNOWN),
        ("ENV A=b$C\nCOPY a${A:+c} /x/", "3 context ac"),
        ("WORKDIR /\nCOPY a${A:+c} /x/", UNKNOWN),
        (
            "WORKDIR /\nRUN --mount=source=$A,target=/x true",
            "3 context all: a mount depends on an unknown variable",
        ),
    ] {
        let text = format!("FROM alpine\n{instructions}");
        assert_eq!(
            Case {
                text: &text,
                ..Case::default()
            }
            .formatted(),
            expected,
            "{instructions}"
        );
    }
}

#[test]
fn variables_are_inherited_by_stages() {
    for (text, expected) in [
        ("ARG D=a\nFROM scratch\nCOPY b$D /x/", "3 context b"),
        ("ARG D=a\nFROM scratch\nARG D\nCOPY $D /x/", "4 context a"),
        (
            "ARG D=a E=$D/b\nFROM scratch\nARG E\nCOPY $E /x/",
            "4 context a/b",
        ),
        ("FROM scratch AS b\nENV D=a\nFROM b\nCOPY $D /x/", "4 context a"),
        ("FROM alpine AS b\nENV D=a\nFROM b\nCOPY $D /x/", "4 context a"),
        ("FROM scratch AS b\nARG D=a\nFROM b\nCOPY $D /x/", "4 context a"),
        (
            "FROM scratch AS b\nENV D=a\nARG D=c\nFROM b\nCOPY $D /x/",
            "5 context a",
        ),
        (
            "FROM alpine AS b\nARG D=a\nFROM b\nCOPY $D /x/",
            "4 context all: a source depends on an unknown variable",
        ),
        (
            "FROM scratch AS app\nARG TARGETSTAGE\nCOPY $TARGETSTAGE /x/",
            "3 context app",
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

#[test]
fn several_platforms_read_what_any_of_them_reads() {
    let text = "FROM base-$TARGETARCH\nFROM scratch\nARG TARGETARCH\nCOPY a-$TARGETARCH /x/\nCOPY b /x/";
    for (platforms, expected) in [
        (
            &["linux/amd64", "linux/arm64"][..],
            "4 context a-amd64\n4 context a-arm64\n5 context b",
        ),
        (
            &[],
            "4 context all: a source depends on an unknown variable\n5 context b",
        ),
    ] {
        assert_eq!(
            Case {
                text,
                platforms,
                ..Case::default()
            }
            .formatted(),
            expected
        );
    }
}
