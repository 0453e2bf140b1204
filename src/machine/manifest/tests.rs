use std::io::Write;

use super::*;

/// A temporary directory in place of the root of a machine.
struct Root(tempfile::TempDir);

impl Root {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("directory"))
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn manifest(&self) -> InstallManifest {
        InstallManifest::read(&self.path("state/rbk/record.json")).expect("readable")
    }

    fn program(&self, path: &str, content: &str) -> Change {
        self.try_program(path, content, |_| Ok(())).expect("installed")
    }

    fn try_program(
        &self,
        path: &str,
        content: &str,
        works: impl FnOnce(&Path) -> anyhow::Result<()>,
    ) -> anyhow::Result<Change> {
        let mut file = tempfile::tempfile().expect("file");
        file.write_all(content.as_bytes()).expect("written");
        self.manifest()
            .install_program(&self.path(path), &mut file, works)
    }

    fn undo(&self) {
        self.manifest().undo().expect("undone");
    }

    fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.path(path)).expect(path)
    }

    fn is_empty(&self) -> bool {
        std::fs::read_dir(self.0.path()).expect("list").next().is_none()
    }
}

#[test]
fn undo_removes_programs_and_their_directories() {
    let root = Root::new();
    assert!(root.manifest().is_empty());
    assert_eq!(
        root.program("lib/docker/cli-plugins/docker-buildx", "one"),
        Change::Created
    );
    assert_eq!(
        root.program("lib/docker/cli-plugins/docker-buildx", "one"),
        Change::Unchanged
    );
    assert_eq!(
        root.program("lib/docker/cli-plugins/docker-buildx", "two"),
        Change::Updated
    );
    let mode = std::fs::metadata(root.path("lib/docker/cli-plugins/docker-buildx")).expect("there");
    assert_eq!(mode.permissions().mode() & 0o777, 0o755);
    root.undo();
    assert!(root.is_empty());
}

#[test]
fn directories_are_created_once_even_with_the_manifest_in_them() {
    let root = Root::new();
    for _ in 0..2 {
        root.manifest()
            .create_dir(&root.path("state/rbk"), 0o700)
            .expect("created");
        root.manifest()
            .create_dir(&root.path("state/other"), 0o700)
            .expect("created");
    }
    let count = root.manifest().content.installed.len();
    assert_eq!(count, 4, "two directories, the manifest and another directory");
    root.undo();
    assert!(root.is_empty());
}

#[test]
fn a_program_that_does_not_work_replaces_nothing() {
    let root = Root::new();
    std::fs::create_dir(root.path("bin")).expect("directory");
    std::fs::write(root.path("bin/buildx"), "theirs").expect("file");
    let tried = root.try_program("bin/buildx", "broken", |new| {
        assert_eq!(std::fs::read_to_string(new).expect("there"), "broken");
        anyhow::bail!("it does not work")
    });
    assert!(tried.expect_err("broken").to_string().contains("does not work"));
    assert_eq!(root.read("bin/buildx"), "theirs");
    assert_eq!(std::fs::read_dir(root.path("bin")).expect("list").count(), 1);
    assert!(root.manifest().is_empty());
}

#[test]
fn a_rename_that_a_kill_prevented_is_done_later() {
    let root = Root::new();
    std::fs::create_dir(root.path("bin")).expect("directory");
    std::fs::write(root.path("bin/buildx"), "theirs").expect("file");
    let entry = Installed::Replaced {
        path: root.path("bin/buildx"),
        kept: root.path("bin/.buildx.before-remote-buildkit"),
    };
    root.manifest().record(entry).expect("recorded");
    root.program("bin/buildx", "ours");
    assert_eq!(root.read("bin/buildx"), "ours");
    root.undo();
    assert_eq!(root.read("bin/buildx"), "theirs");
}

#[test]
fn undo_restores_what_was_replaced() {
    let root = Root::new();
    std::fs::create_dir(root.path("bin")).expect("directory");
    std::fs::write(root.path("bin/buildx"), "theirs").expect("file");
    symlink("buildx", root.path("bin/link")).expect("link");
    assert_eq!(root.program("bin/buildx", "ours"), Change::Created);
    assert_eq!(root.program("bin/buildx", "ours, newer"), Change::Updated);
    let to = Path::new("elsewhere");
    let link = |expected| {
        assert_eq!(
            root.manifest()
                .create_link(&root.path("bin/link"), to)
                .expect("created"),
            expected
        )
    };
    link(Change::Created);
    link(Change::Unchanged);
    assert_eq!(root.read("bin/buildx"), "ours, newer");
    root.undo();
    assert_eq!(root.read("bin/buildx"), "theirs");
    assert_eq!(
        std::fs::read_link(root.path("bin/link")).expect("link"),
        Path::new("buildx")
    );
    assert_eq!(std::fs::read_dir(root.path("bin")).expect("list").count(), 2);
    assert!(!root.path("state").exists());
}

#[test]
fn an_identical_program_is_not_ours() {
    let root = Root::new();
    std::fs::write(root.path("buildx"), "same").expect("file");
    std::fs::set_permissions(root.path("buildx"), Permissions::from_mode(0o755)).expect("mode");
    assert_eq!(root.program("buildx", "same"), Change::Unchanged);
    root.undo();
    assert_eq!(root.read("buildx"), "same");
}

#[test]
fn directories_with_other_files_stay() {
    let root = Root::new();
    root.program("lib/plugins/docker-buildx", "ours");
    std::fs::write(root.path("lib/other"), "theirs").expect("file");
    root.undo();
    assert_eq!(root.read("lib/other"), "theirs");
    assert!(!root.path("lib/plugins").exists());
}

#[test]
fn a_manifest_in_an_existing_directory_is_removed_alone() {
    let root = Root::new();
    std::fs::create_dir_all(root.path("state/rbk")).expect("directory");
    root.program("bin/buildx", "ours");
    root.undo();
    assert_eq!(
        std::fs::read_dir(root.path("state/rbk")).expect("list").count(),
        0
    );
    assert!(!root.path("bin").exists());
}

#[test]
fn the_last_user_is_recognized() {
    let root = Root::new();
    for name in ["a", "b"] {
        root.manifest().add_user(name).expect("written");
    }
    assert!(!root.manifest().remove_user("a").expect("written"));
    assert!(root.manifest().remove_user("b").expect("written"));
    root.undo();
    assert!(root.is_empty());
}

#[test]
fn an_invalid_manifest_is_an_error() {
    let root = Root::new();
    std::fs::write(root.path("record.json"), "{").expect("file");
    let error = InstallManifest::read(&root.path("record.json")).expect_err("broken");
    assert!(
        error.to_string().starts_with("Install record is corrupt"),
        "{error}"
    );
}

#[test]
fn error_of_an_invalid_manifest() {
    let path = Path::new("/var/lib/remote-buildkit/installed.json");
    insta::assert_snapshot!(unreadable(path, &"expected value at line 1 column 1"));
}
