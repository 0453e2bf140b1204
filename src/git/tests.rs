use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::*;

/// A repository with a commit, in a directory that goes away with it.
struct TestRepository(TempDir);

impl TestRepository {
    fn new() -> Self {
        let repository = Self(tempfile::tempdir().expect("a directory"));
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository.write("a/file", "1");
        repository.write("script", "1");
        repository.commit("first");
        repository
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("directory");
        fs::write(path, content).expect("file");
    }

    fn git(&self, arguments: &[&str]) -> String {
        git_in(self.path(), arguments)
    }

    fn commit(&self, message: &str) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "-m", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    fn opened(&self) -> Git {
        Git::open(self.path()).expect("git").expect("a clone")
    }
}

fn git_in(dir: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@example.com"])
        .args(["-c", "protocol.file.allow=always"])
        .args(arguments)
        .current_dir(dir)
        .output()
        .expect("git");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {arguments:?}: {stderr}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn a_deleted_clone_does_not_mean_that_git_is_missing() {
    let repository = TestRepository::new();
    let git = repository.opened();
    drop(repository);
    let Err(GitError::Failed(error)) = git.output(&["version"]) else {
        panic!("git ran in a deleted directory");
    };
    assert!(error.to_string().contains("running git version"), "{error:#}");
}

fn change(path: &str, kind: ChangeKind) -> Change {
    let path = path.to_owned();
    Change { path, kind }
}

fn file(path: &str, kind: FileKind) -> WorkTreeFile {
    let path = path.to_owned();
    WorkTreeFile { path, kind }
}

#[test]
fn a_clone_is_found_from_a_directory_in_it() {
    let repository = TestRepository::new();
    let top = repository.path().canonicalize().expect("a path");
    let git = Git::open(&repository.path().join("a"))
        .expect("git")
        .expect("a clone");
    assert_eq!(git.top(), top);
    assert_eq!(
        git.head().expect("head"),
        Some(repository.git(&["rev-parse", "HEAD"]))
    );

    let linked = tempfile::tempdir().expect("a directory");
    let linked = linked.path().join("linked");
    repository.git(&[
        "worktree",
        "add",
        "--quiet",
        linked.to_str().expect("text"),
        "HEAD",
    ]);
    let git = Git::open(&linked).expect("git").expect("a clone");
    assert_eq!(
        git.head().expect("head"),
        Some(repository.git(&["rev-parse", "HEAD"]))
    );

    let elsewhere = tempfile::tempdir().expect("a directory");
    assert!(Git::open(elsewhere.path()).expect("git").is_none());
    fs::create_dir(elsewhere.path().join(".git")).expect("directory");
    assert!(Git::open(elsewhere.path()).expect("git").is_none());
}

#[test]
fn a_clone_without_a_commit_has_no_head() {
    let dir = tempfile::tempdir().expect("a directory");
    git_in(dir.path(), &["init", "--quiet"]);
    let git = Git::open(dir.path()).expect("git").expect("a clone");
    assert_eq!(git.head().expect("head"), None);
    assert_eq!(git.files().expect("files"), []);
}

#[test]
fn a_clone_of_another_user_can_be_read() {
    let repository = TestRepository::new();
    if chown(repository.path(), Some(12345), None).is_err() {
        // Only root can change the owner.
        return;
    }
    chown(repository.path().join(".git"), Some(12345), None).expect("chown");
    let mistrusted = Command::new("git")
        .args(["rev-parse", "HEAD"])
        .current_dir(repository.path())
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .stderr(Stdio::null())
        .status()
        .expect("git");
    assert!(!mistrusted.success(), "git has to mistrust it by itself");
    let git = repository.opened();
    assert!(git.head().expect("head").is_some());
    assert_eq!(git.files().expect("files").len(), 2);
}

#[test]
fn a_commit_is_found_by_its_names() {
    let repository = TestRepository::new();
    let head = repository.git(&["rev-parse", "HEAD"]);
    repository.git(&["tag", "-a", "v1", "-m", "v1"]);
    let git = repository.opened();
    for name in ["HEAD", "main", "v1", "refs/heads/main", &head, &head[..10]] {
        assert_eq!(git.commit(name).expect("git"), Some(head.clone()), "{name}");
    }
    let absent = "1".repeat(40);
    for name in ["gone", "--all", "", "main:a", &absent] {
        assert_eq!(git.commit(name).expect("git"), None, "{name}");
    }
}

#[test]
fn each_kind_of_change_is_reported() {
    let repository = TestRepository::new();
    let other = TestRepository::new();
    let base = repository.git(&["rev-parse", "HEAD"]);
    // A repository may configure its submodules to be ignored.
    repository.write(
        ".gitmodules",
        "[submodule \"sub\"]\n\tpath = sub\n\turl = ./sub\n\tignore = all\n",
    );
    repository.git(&["mv", "a/file", "a/renamed"]);
    let script = repository.path().join("script");
    fs::set_permissions(script, fs::Permissions::from_mode(0o755)).expect("mode");
    symlink("script", repository.path().join("link")).expect("link");
    let commit = other.git(&["rev-parse", "HEAD"]);
    repository.git(&["add", "--all"]);
    repository.git(&[
        "update-index",
        "--add",
        "--cacheinfo",
        &format!("160000,{commit},sub"),
    ]);
    repository.git(&["commit", "--quiet", "-m", "second"]);
    let head = repository.git(&["rev-parse", "HEAD"]);
    let expected = [
        change(".gitmodules", ChangeKind::File),
        change("a/file", ChangeKind::File),
        change("a/renamed", ChangeKind::File),
        change("link", ChangeKind::File),
        change("script", ChangeKind::Edited),
        change("sub", ChangeKind::Submodule),
    ];
    let git = repository.opened();
    assert_eq!(git.changes(&base, &head).expect("changes"), expected);
    assert_eq!(git.changes(&head, &base).expect("changes"), expected);
    assert_eq!(git.changes(&head, &head).expect("changes"), []);

    let tree = git.tree(&head, true).expect("tree");
    let mode = |path: &str| {
        tree.iter()
            .find(|entry| entry.path == path)
            .map(|entry| entry.mode)
    };
    use super::tree::FileMode;
    for (path, expected) in [
        ("a/renamed", FileMode::File),
        ("link", FileMode::Link),
        ("script", FileMode::Executable),
        ("sub", FileMode::Submodule),
    ] {
        assert_eq!(mode(path), Some(expected), "{path}");
    }
    let names: Vec<String> = git
        .tree(&head, false)
        .expect("tree")
        .into_iter()
        .map(|e| e.path)
        .collect();
    assert_eq!(names, [".gitmodules", "a", "link", "script", "sub"]);
}

#[test]
fn work_tree_changes_include_uncommitted_files() {
    let repository = TestRepository::new();
    let base = repository.git(&["rev-parse", "HEAD"]);
    repository.write(".gitignore", "ignored\n");
    repository.write("committed", "1");
    repository.commit("second");
    repository.write("a/file", "2");
    repository.write("staged", "1");
    repository.git(&["add", "staged"]);
    repository.write("new dir/untracked", "1");
    repository.write("ignored", "1");
    // The timestamp changes, and the content does not.
    repository.write("script", "1");
    git_in(repository.path(), &["init", "--quiet", "nested"]);
    repository.write("nested/file", "1");
    git_in(&repository.path().join("nested"), &["add", "file"]);
    git_in(
        &repository.path().join("nested"),
        &["commit", "--quiet", "-m", "nested"],
    );
    let expected = [
        change(".gitignore", ChangeKind::File),
        change("a/file", ChangeKind::Edited),
        change("committed", ChangeKind::File),
        change("nested", ChangeKind::Submodule),
        change("new dir/untracked", ChangeKind::File),
        change("staged", ChangeKind::File),
    ];
    let git = repository.opened();
    assert_eq!(git.work_tree_changes(&base).expect("changes"), expected);
}

#[test]
fn files_do_not_include_ignored_files() {
    let repository = TestRepository::new();
    repository.write(".gitignore", "ignored\n");
    repository.write("ignored", "1");
    repository.write("tab\tand ü", "1");
    symlink("script", repository.path().join("link")).expect("link");
    symlink("a", repository.path().join("untracked-link")).expect("link");
    repository.git(&["add", "link"]);
    let commit = repository.git(&["rev-parse", "HEAD"]);
    repository.git(&[
        "update-index",
        "--add",
        "--cacheinfo",
        &format!("160000,{commit},sub"),
    ]);
    let expected = [
        file(".gitignore", FileKind::File),
        file("a/file", FileKind::File),
        file("link", FileKind::Link),
        file("script", FileKind::File),
        file("sub", FileKind::Submodule),
        file("tab\tand ü", FileKind::File),
        file("untracked-link", FileKind::Link),
    ];
    assert_eq!(repository.opened().files().expect("files"), expected);
}

#[test]
fn a_shallow_clone_has_no_merge_base() {
    let repository = TestRepository::new();
    let fork = repository.commit("second");
    repository.git(&["checkout", "--quiet", "-b", "change"]);
    repository.commit("change");
    repository.git(&["checkout", "--quiet", "main"]);
    repository.commit("main goes on");
    let git = repository.opened();
    assert_eq!(git.merge_base("main", "change").expect("git"), Some(fork));
    assert_eq!(git.merge_base("main", &"1".repeat(40)).expect("git"), None);
    repository.git(&["checkout", "--quiet", "--orphan", "unrelated"]);
    repository.commit("unrelated");
    assert_eq!(git.merge_base("main", "unrelated").expect("git"), None);

    let dir = tempfile::tempdir().expect("a directory");
    let url = format!("file://{}", repository.path().display());
    git_in(
        dir.path(),
        &[
            "clone",
            "--quiet",
            "--depth=1",
            "--no-single-branch",
            &url,
            "shallow",
        ],
    );
    let shallow = Git::open(&dir.path().join("shallow"))
        .expect("git")
        .expect("a clone");
    assert!(shallow.commit("origin/change").expect("git").is_some());
    assert_eq!(
        shallow.merge_base("origin/main", "origin/change").expect("git"),
        None
    );
}

#[test]
fn a_partial_clone_does_not_fetch() {
    let repository = TestRepository::new();
    let base = repository.git(&["rev-parse", "HEAD"]);
    repository.write("b/file", "1");
    let head = repository.commit("second");
    repository.git(&["config", "uploadpack.allowFilter", "true"]);
    let dir = tempfile::tempdir().expect("a directory");
    let url = format!("file://{}", repository.path().display());
    git_in(
        dir.path(),
        &[
            "clone",
            "--quiet",
            "--no-checkout",
            "--filter=tree:0",
            &url,
            "treeless",
        ],
    );
    let treeless = Git::open(&dir.path().join("treeless"))
        .expect("git")
        .expect("a clone");
    assert!(treeless.commit(&head).expect("git").is_some());
    assert!(treeless.changes(&base, &head).is_err());
    assert!(treeless.tree(&base, true).is_err());
}
