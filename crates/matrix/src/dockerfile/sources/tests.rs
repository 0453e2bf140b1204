use proptest::prelude::*;

use super::*;
use crate::glob;

fn sources(flags: &[&str], source: &str) -> SourcePaths {
    let excludes = flags
        .iter()
        .filter_map(|flag| flag.strip_prefix("--exclude="))
        .map(str::to_owned)
        .collect();
    let copy = CopyInstruction {
        parents: flags.contains(&"--parents"),
        excludes,
        ..CopyInstruction::default()
    };
    match SourcePaths::from_copy(&copy, &[source.to_owned()]) {
        Scope::Paths(sources) => sources,
        Scope::All(why) => panic!("{source}: {why}"),
    }
}

#[test]
fn paths_that_match() {
    for (flags, source, taken, left) in [
        (&[][..], "a", &["a", "a/b", "a/b/c"][..], &["ab", "b/a", "A"][..]),
        (&[], "a/b", &["a/b", "a/b/c", "a"], &["a/c", "b"]),
        (&[], "*.go", &["x.go", "x.go/y"], &["a/x.go", "x.md"]),
        (
            &[],
            "cmd/*/m?in.go",
            &["cmd/x/main.go", "cmd"],
            &["cmd/x", "cmd/x/y/main.go", "cmd/main.go/x", "x"],
        ),
        (&[], "a[b-c]", &["ab", "ac/x"], &["ad"]),
        (&[], "x/a[^b]c", &["x/axc", "x/a/c", "x"], &["x/abc", "y"]),
        (&[], "x/*/[^/]", &["x/a/b", "x"], &["y"]),
        (&[], "arr[[]0].txt", &["arr[0].txt"], &["arr0.txt"]),
        (&[], "a\\*b", &["a\\*b"], &["a*b"]),
        (&[], "a\\*b*", &["a*bc"], &["axbc"]),
        (
            &["--exclude=*.md", "--exclude=t/**"],
            "a",
            &["a/b.go", "a/b/c.md", "a"],
            &["a/b.md", "a/t/x", "b.md"],
        ),
        (&["--exclude=b", "--exclude=!b/c"], ".", &["a", "b/c"], &["b/d"]),
        (&["--exclude=["], "a", &["a/b"], &["b"]),
        (&["--exclude=*.md"], "*", &["a", "a.md", "b/c.go"], &["b/c.md"]),
        (
            &["--parents"],
            "a/**/*.go",
            &["a/x.go", "a/b/c/x.go"],
            &["a/x.md", "b/a/x.go"],
        ),
        (
            &["--parents"],
            "a/./b/*.go",
            &["a/b/x.go"],
            &["a/x.go", "a/b/c/x.go"],
        ),
        (
            &["--parents", "--exclude=**/t"],
            "a/*",
            &["a/x", "a/x/y"],
            &["a/t", "a/x/t/y", "b"],
        ),
    ] {
        let sources = sources(flags, source);
        for path in taken {
            assert!(sources.matches(path), "{flags:?} {source} takes {path}");
        }
        for path in left {
            assert!(!sources.matches(path), "{flags:?} {source} leaves {path}");
        }
    }
}

#[test]
fn directories_that_may_contain_matches() {
    for (flags, source, may, cannot) in [
        (
            &[][..],
            "a/b",
            &["", "a", "a/b", "a/b/c"][..],
            &["b", "a/c", "ab"][..],
        ),
        (&[], "a/*/c", &["a", "a/x", "a/x/c/d"], &["b", "a/x/d"]),
        (&["--parents"], "a/b/**/c", &["a", "a/b", "a/b/x"], &["b", "a/c"]),
        (&["--parents"], "a/./b/*", &["a", "a/b"], &["b", "a/c"]),
    ] {
        let sources = sources(flags, source);
        for dir in may {
            assert!(sources.may_match_below(dir), "{source} {dir}");
        }
        for dir in cannot {
            assert!(!sources.may_match_below(dir), "{source} {dir}");
        }
    }
}

#[test]
fn links_are_followed() {
    let links = [
        ("link", "real/dir"),
        ("abs", "/real"),
        ("up/link", "../../../real/x"),
        ("chain", "link/sub"),
        ("loop", "loop/x"),
        ("real/x", "y"),
        ("real/dir/inner", "../../other"),
    ];
    let links = links
        .map(|(path, text)| (path.to_owned(), text.to_owned()))
        .into();
    for (source, taken, left) in [
        (
            "link",
            &["link", "real/dir/a", "real/dir/inner"][..],
            &["real/a", "other/a"][..],
        ),
        ("link/a", &["link", "real/dir/a"], &["real/dir/b"]),
        ("abs/x", &["abs", "real/x", "real/y"], &["real/dir/a"]),
        ("up/link", &["up/link", "real/x", "real/y/a"], &["up/a", "other"]),
        ("chain/a", &["chain", "link", "real/dir/sub/a"], &["real/dir/a"]),
        ("loop", &["loop"], &["x"]),
        ("l*", &["link", "loop", "lost", "real/dir/a"], &["chain"]),
        ("link/*.go", &["link", "real/dir/a.go"], &["real/dir/a"]),
        ("real/*/inner", &["real/dir/inner", "other/a"], &["real/dir/a"]),
        (
            "link/inner/a",
            &["link", "real/dir/inner", "other/a"],
            &["other/b"],
        ),
        ("plain", &["plain"], &["real/dir/a"]),
    ] {
        let sources = sources(&[], source).with_links_followed(&links);
        for path in taken {
            assert!(sources.matches(path), "{source} takes {path}");
        }
        for path in left {
            assert!(!sources.matches(path), "{source} leaves {path}");
        }
    }
}

#[test]
fn endless_links_are_bounded() {
    let names = ["a", "b", "c", "d"];
    let pairs = names
        .iter()
        .flat_map(|from| names.map(|to| (format!("{from}/{to}"), format!("../{to}/{from}"))));
    let links: BTreeMap<String, String> = pairs.collect();
    let resolved = sources(&[], &["*"; 40].join("/")).with_links_followed(&links);
    assert!(resolved.matches("a/b"));
}

proptest! {
    #[test]
    fn everything_below_a_copied_directory_matches(
        source in "[ab*?]{1,3}(/[ab*?\\[\\]^-]{1,4}){0,2}",
        dir in "[ab]{1,2}(/[ab]{1,2}){0,3}",
        name in "[ab]{1,2}",
    ) {
        if !glob::is_valid(&source) {
            return Ok(());
        }
        let sources = sources(&[], &source);
        let below = format!("{dir}/{name}");
        if SourceRoot::new(&source).rest(&dir).is_some() {
            prop_assert!(sources.matches(&dir) && sources.matches(&below));
        }
        prop_assert!(!sources.matches(&below) || sources.may_match_below(&dir));
    }

    #[test]
    fn following_links_only_adds_paths(
        source in "[ab*]{1,2}(/[ab*]{1,2}){0,2}",
        links in prop::collection::btree_map("[ab]{1,2}(/[ab]{1,2}){0,2}", "(/|\\.\\./){0,1}[ab]{1,2}(/[ab.]{1,2}){0,2}", 0..6),
        path in "[ab]{1,2}(/[ab]{1,2}){0,3}",
    ) {
        let sources = sources(&[], &source);
        let resolved = sources.with_links_followed(&links);
        prop_assert!(!sources.matches(&path) || resolved.matches(&path));
    }
}
