use std::io::Write;

use super::*;

struct Root(tempfile::TempDir);

impl Root {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("folder"))
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn record(&self) -> Record {
        Record::read(&self.path("state/rbk/record.json")).expect("readable")
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
        self.record().program(&self.path(path), &mut file, works)
    }

    fn undo(&self) {
        self.record().undo().expect("undone");
    }

    fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.path(path)).expect(path)
    }

    fn is_empty(&self) -> bool {
        std::fs::read_dir(self.0.path()).expect("list").next().is_none()
    }
}

#[test]
fn what_was_made_goes_with_its_folders() {
    let root = Root::new();
    assert!(root.record().is_empty());
    assert_eq!(
        root.program("lib/docker/cli-plugins/docker-buildx", "one"),
        Change::Made
    );
    assert_eq!(
        root.program("lib/docker/cli-plugins/docker-buildx", "one"),
        Change::AlreadyThere
    );
    assert_eq!(
        root.program("lib/docker/cli-plugins/docker-buildx", "two"),
        Change::Renewed
    );
    let mode = std::fs::metadata(root.path("lib/docker/cli-plugins/docker-buildx")).expect("there");
    assert_eq!(mode.permissions().mode() & 0o777, 0o755);
    root.undo();
    assert!(root.is_empty());
}

#[test]
fn folders_are_made_once_where_the_record_is_among_them() {
    let root = Root::new();
    for _ in 0..2 {
        root.record()
            .folder(&root.path("state/rbk"), 0o700)
            .expect("made");
        root.record()
            .folder(&root.path("state/other"), 0o700)
            .expect("made");
    }
    let made = root.record().content.made.len();
    assert_eq!(made, 4, "two folders, the record and another folder");
    root.undo();
    assert!(root.is_empty());
}

#[test]
fn what_does_not_work_takes_no_place() {
    let root = Root::new();
    std::fs::create_dir(root.path("bin")).expect("folder");
    std::fs::write(root.path("bin/buildx"), "of somebody").expect("file");
    let tried = root.try_program("bin/buildx", "broken", |new| {
        assert_eq!(std::fs::read_to_string(new).expect("there"), "broken");
        anyhow::bail!("it does not work")
    });
    assert!(tried.expect_err("broken").to_string().contains("does not work"));
    assert_eq!(root.read("bin/buildx"), "of somebody");
    assert_eq!(std::fs::read_dir(root.path("bin")).expect("list").count(), 1);
    assert!(root.record().is_empty());
}

#[test]
fn what_was_to_be_kept_when_it_was_killed_is_kept_then() {
    let root = Root::new();
    std::fs::create_dir(root.path("bin")).expect("folder");
    std::fs::write(root.path("bin/buildx"), "of somebody").expect("file");
    let noted = Made::Replaced {
        path: root.path("bin/buildx"),
        kept: root.path("bin/.buildx.before-remote-buildkit"),
    };
    root.record().note(noted).expect("noted");
    root.program("bin/buildx", "ours");
    assert_eq!(root.read("bin/buildx"), "ours");
    root.undo();
    assert_eq!(root.read("bin/buildx"), "of somebody");
}

#[test]
fn what_was_there_before_comes_back() {
    let root = Root::new();
    std::fs::create_dir(root.path("bin")).expect("folder");
    std::fs::write(root.path("bin/buildx"), "of somebody").expect("file");
    symlink("buildx", root.path("bin/link")).expect("link");
    assert_eq!(root.program("bin/buildx", "ours"), Change::Made);
    assert_eq!(root.program("bin/buildx", "ours, newer"), Change::Renewed);
    let to = Path::new("elsewhere");
    let link = |expected| {
        assert_eq!(
            root.record().link(&root.path("bin/link"), to).expect("made"),
            expected
        )
    };
    link(Change::Made);
    link(Change::AlreadyThere);
    assert_eq!(root.read("bin/buildx"), "ours, newer");
    root.undo();
    assert_eq!(root.read("bin/buildx"), "of somebody");
    assert_eq!(
        std::fs::read_link(root.path("bin/link")).expect("link"),
        Path::new("buildx")
    );
    assert_eq!(std::fs::read_dir(root.path("bin")).expect("list").count(), 2);
    assert!(!root.path("state").exists());
}

#[test]
fn the_same_program_of_somebody_else_is_not_ours() {
    let root = Root::new();
    std::fs::write(root.path("buildx"), "same").expect("file");
    std::fs::set_permissions(root.path("buildx"), Permissions::from_mode(0o755)).expect("mode");
    assert_eq!(root.program("buildx", "same"), Change::AlreadyThere);
    root.undo();
    assert_eq!(root.read("buildx"), "same");
}

#[test]
fn folders_with_something_of_others_stay() {
    let root = Root::new();
    root.program("lib/plugins/docker-buildx", "ours");
    std::fs::write(root.path("lib/other"), "theirs").expect("file");
    root.undo();
    assert_eq!(root.read("lib/other"), "theirs");
    assert!(!root.path("lib/plugins").exists());
}

#[test]
fn a_record_in_a_folder_of_others_goes_alone() {
    let root = Root::new();
    std::fs::create_dir_all(root.path("state/rbk")).expect("folder");
    root.program("bin/buildx", "ours");
    root.undo();
    assert_eq!(
        std::fs::read_dir(root.path("state/rbk")).expect("list").count(),
        0
    );
    assert!(!root.path("bin").exists());
}

#[test]
fn the_last_user_is_told_from_others() {
    let root = Root::new();
    for name in ["a", "b"] {
        root.record().add_user(name).expect("written");
    }
    assert!(!root.record().remove_user("a").expect("written"));
    assert!(root.record().remove_user("b").expect("written"));
    root.undo();
    assert!(root.is_empty());
}

#[test]
fn a_record_that_is_none_is_an_error() {
    let root = Root::new();
    std::fs::write(root.path("record.json"), "{").expect("file");
    let error = Record::read(&root.path("record.json")).expect_err("broken");
    assert!(
        error.to_string().starts_with("Install record is corrupt"),
        "{error}"
    );
}
