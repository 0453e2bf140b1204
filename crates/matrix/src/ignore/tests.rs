use proptest::prelude::*;

use super::*;

/// The rows of patternmatcher's own tests, without paths that end in a slash, which do not occur here.
#[test]
fn matches_as_patternmatcher_does() {
    for (pattern, path, expected) in [
        ("**", "file", true),
        ("**/", "file", true),
        ("**", "dir/file", true),
        ("**/", "dir/file", true),
        ("**/**", "dir/file", true),
        ("dir/**", "dir/file", true),
        ("dir/**", "dir/dir2/file", true),
        ("**/dir", "dir", true),
        ("**/dir", "dir/file", true),
        ("**/dir2/*", "dir/dir2/file", true),
        ("**/dir2/**", "dir/dir2/dir3/file", true),
        ("**file", "file", true),
        ("**file", "dir/file", true),
        ("**/file", "dir/file", true),
        ("**file", "dir/dir/file", true),
        ("**/file", "dir/dir/file", true),
        ("**/file*", "dir/dir/file", true),
        ("**/file*", "dir/dir/file.txt", true),
        ("**/file*txt", "dir/dir/file.txt", true),
        ("**/file*.txt", "dir/dir/file.txt", true),
        ("**/file*.txt*", "dir/dir/file.txt", true),
        ("**/**/*.txt", "dir/dir/file.txt", true),
        ("**/**/*.txt2", "dir/dir/file.txt", false),
        ("**/*.txt", "file.txt", true),
        ("**/**/*.txt", "file.txt", true),
        ("a**/*.txt", "a/file.txt", true),
        ("a**/*.txt", "a/dir/file.txt", true),
        ("a**/*.txt", "a/dir/dir/file.txt", true),
        ("a/*.txt", "a/dir/file.txt", false),
        ("a/*.txt", "a/file.txt", true),
        ("a/*.txt**", "a/file.txt", true),
        ("a[b-d]e", "ae", false),
        ("a[b-d]e", "ace", true),
        ("a[b-d]e", "aae", false),
        ("a[^b-d]e", "aze", true),
        (".*", ".foo", true),
        (".*", "foo", false),
        ("abc.def", "abcdef", false),
        ("abc.def", "abc.def", true),
        ("abc.def", "abcZdef", false),
        ("abc?def", "abcZdef", true),
        ("abc?def", "abcdef", false),
        ("a\\\\", "a\\", true),
        ("**/foo/bar", "foo/bar", true),
        ("**/foo/bar", "dir/foo/bar", true),
        ("**/foo/bar", "dir/dir2/foo/bar", true),
        ("abc/**", "abc", false),
        ("abc/**", "abc/def", true),
        ("abc/**", "abc/def/ghi", true),
        ("**/.foo", ".foo", true),
        ("**/.foo", "bar.foo", false),
        ("a(b)c/def", "a(b)c/def", true),
        ("a(b)c/def", "a(b)c/xyz", false),
        ("a.|)$(}+{bc", "a.|)$(}+{bc", true),
        (
            "dist/*.whl",
            "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl",
            true,
        ),
        ("a\\*b", "a*b", true),
        ("**\n!util/docker/web", "util/docker/web/foo", false),
        (
            "**\n!util/docker/web\nutil/docker/web/foo",
            "util/docker/web/foo",
            true,
        ),
        ("**\n!dist/*.whl", "dist/a.whl", false),
        ("!fileutils.go\n*.go", "fileutils.go", true),
        ("*.go\n!fileutils.go", "fileutils.go", false),
        ("docs\n!docs/README.md", "docs/README.md", false),
        ("docs/\n!docs/README.md", "docs/README.md", false),
        ("docs/*\n!docs/README.md", "docs/README.md", false),
    ] {
        assert_eq!(
            Dockerignore::parse(pattern).ignores(path),
            expected,
            "{pattern} {path}"
        );
    }
}

#[test]
fn lines_are_parsed_as_buildkit_does() {
    for (text, path, expected) in [
        ("", "a", false),
        ("\u{feff}a", "a", true),
        ("  a \t", "a", true),
        ("a\r\nb\r\n", "b", true),
        ("#a", "#a", false),
        (" #a", "#a", true),
        ("/a/b/", "a/b", true),
        ("./a//../b", "b/c", true),
        ("*\n! /a/b", "a/b", false),
        ("../a", "a", false),
        (".", "a", false),
        ("A", "a", false),
        // BuildKit rejects these, so nothing is ignored.
        ("a\n!", "a", false),
        ("a\n[", "a", false),
        // Not supported, so not ignored.
        ("[*]", "*", false),
        ("a\n![*]x", "a", false),
        ("*^", "a", false),
    ] {
        assert_eq!(Dockerignore::parse(text).ignores(path), expected, "{text} {path}");
    }
    assert_eq!(Dockerignore::parse("# a\n\n"), Dockerignore::default());
}

/// BuildKit walks the tree: at `a` nothing is ignored yet, and at `a/b` the exception does not match.
#[test]
fn an_exception_for_a_parent_that_is_not_ignored_has_no_effect() {
    assert!(Dockerignore::parse("a/b\n!a").ignores("a/b"));
    assert!(!Dockerignore::parse("a\n!a").ignores("a/b"));
}

#[test]
fn paths_are_cleaned_as_go_does() {
    for (path, expected) in [
        ("", "."),
        (".", "."),
        ("/", "/"),
        ("a/./b//c/", "a/b/c"),
        ("a/../../b", "../b"),
        ("/../a", "/a"),
        ("../../a", "../../a"),
    ] {
        assert_eq!(clean(path), expected, "{path}");
    }
}

proptest! {
    #[test]
    fn paths_below_an_ignored_directory_are_ignored(
        pattern in "[ab*?./]{1,6}",
        dir in "[ab]{1,2}(/[ab]{1,2}){0,2}",
        name in "[ab]{1,2}",
    ) {
        let ignore = Dockerignore::parse(&pattern);
        let below = format!("{dir}/{name}");
        prop_assert!(!ignore.ignores(&dir) || ignore.ignores(&below));
    }

    #[test]
    fn any_text_can_be_parsed(text in "(\\PC|[!*/\\[\\]^\\\\\\n-]){0,20}", path in "\\PC{0,9}") {
        Dockerignore::parse(&text).ignores(&path);
    }
}
