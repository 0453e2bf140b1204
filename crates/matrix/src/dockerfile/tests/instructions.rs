use super::{Case, of};

#[test]
fn copies_and_adds() {
    for (instruction, expected) in [
        ("COPY a b /x/", "2 context a, b"),
        ("copy  a\t/x/", "2 context a"),
        ("ADD a /x/", "2 context a"),
        ("COPY . /x/", "2 context all: the whole context is copied"),
        ("COPY ./ /x/", "2 context all: the whole context is copied"),
        ("COPY / /x/", "2 context all: the whole context is copied"),
        ("COPY \"\" /x/", "2 context all: the whole context is copied"),
        ("COPY ../../a/./b/../c /x/", "2 context a/c"),
        ("COPY /a/ /x/", "2 context a"),
        ("COPY [\"a b\", \"c\", \"/x/\"]", "2 context a b, c"),
        ("COPY [a b /x/", "2 context all: a source is not a valid pattern"),
        ("COPY 'a'\"b\" /x/", "2 context ab"),
        ("COPY a\\b /x/", "2 context ab"),
        ("COPY *.go cmd/*/main.go /x/", "2 context *.go, cmd/*/main.go"),
        ("COPY arr[[]0].txt /x/", "2 context arr[[]0].txt"),
        ("COPY --link --chown=1:1 --chmod=755 a /x/", "2 context a"),
        (
            "COPY --exclude=*.md --exclude=\"t mp\" a /x/",
            "2 context a without *.md t mp",
        ),
        ("COPY --exclude=*.md . /x/", "2 context . without *.md"),
        (
            "COPY --parents a/./b/*.go c /x/",
            "2 context a with b/*.go, . with c",
        ),
        (
            "COPY --parents . /x/",
            "2 context all: the whole context is copied",
        ),
        (
            "ADD https://example.com/a git@example.com:a/b.git#main git://example.com/c /x/",
            "",
        ),
        (
            "ADD --checksum=sha256:00 --keep-git-dir=true --unpack http://example.com/a b /x/",
            "2 context b",
        ),
        (
            "COPY <<EOF <<-'END' a /x/\nCOPY no /x/\nEOF\n\tEND\nCOPY b /x/",
            "2 context a\n6 context b",
        ),
        ("COPY <<EOF /x/\nEOF", ""),
        (
            "RUN cat <<A <<B > /x\nCOPY no /x/\nA\nFROM no\nB\nCOPY a /x/",
            "7 context a",
        ),
        ("RUN [\"a\", \"<<EOF\"]\nCOPY a /x/", "3 context a"),
        (
            "RUN echo \\\n  # COPY no /x\n\n  there\nCOPY a \\\n # b\n  c /x/",
            "6 context a, c",
        ),
        ("RUN dir C:\\\\\nCOPY a /x/", "3 context a"),
        (
            "COPY a /x/\r\nCOPY b \\\r\n c /x/\r\n",
            "2 context a\n3 context b, c",
        ),
        (
            "CMD [\"COPY\", \"a\"]\nLABEL a=b\nHEALTHCHECK NONE\nSTOPSIGNAL 9\nEXPOSE 80",
            "",
        ),
    ] {
        assert_eq!(of(instruction), expected, "{instruction}");
    }
}

#[test]
fn mounts() {
    for (flags, expected) in [
        ("--mount=target=/x", "2 context all: the whole context is mounted"),
        ("--mount=type=bind,source=a/b,target=/x", "2 context a/b"),
        ("--mount=type=bind,src=../a,target=/x,rw", "2 context a"),
        ("--mount='TYPE=Bind,\"source=a,b\",target=/x'", "2 context a,b"),
        ("--mount=source=*.go,target=/x", "2 context *.go"),
        ("--mount=type=cache,target=/x", ""),
        ("--mount=type=cache,from=other,source=a,target=/x", ""),
        (
            "--mount=type=secret,id=a --mount=type=ssh --mount=type=tmpfs,target=/x --network=none",
            "",
        ),
        (
            "--mount=source=a,target=/x --mount=source=b,target=/y",
            "2 context a\n2 context b",
        ),
        (
            "--mount=from=$X,target=/x",
            "line 2: from of a mount cannot contain variables",
        ),
        (
            "--mount=type=bund,target=/x",
            "line 2: unsupported mount type: bund",
        ),
    ] {
        assert_eq!(of(&format!("RUN {flags} true")), expected, "{flags}");
    }
}

#[test]
fn another_escape_character() {
    let text = "# escape=`\nFROM scratch\nCOPY a\\b `\n  c`$d /x/\nRUN dir C:\\\nCOPY e /x/";
    assert_eq!(
        Case {
            text,
            ..Case::default()
        }
        .formatted(),
        "3 context a\\b, c$d\n6 context e"
    );
}

#[test]
fn another_frontend_reads_the_whole_context() {
    let text = "# syntax=acme/frontend\nanything";
    let why = "another Dockerfile frontend parses the file";
    let expected = format!("1 context all: {why}\n1 src all: {why}");
    assert_eq!(
        Case {
            text,
            contexts: &["src"],
            ..Case::default()
        }
        .formatted(),
        expected
    );
    let text = "FROM scratch\nCOPY a /x/";
    let args = &[("BUILDKIT_SYNTAX", "acme/frontend")];
    assert_eq!(
        Case {
            text,
            args,
            ..Case::default()
        }
        .formatted(),
        format!("1 context all: {why}")
    );
}
