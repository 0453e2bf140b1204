//! A Git repository for tests.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A repository in a temporary directory.
pub struct Repository(TempDir);

impl Repository {
    pub fn new() -> Self {
        let repository = Self(tempfile::tempdir().expect("a directory"));
        // Without a template, which has a dozen files.
        repository.git(&["init", "--quiet", "--initial-branch=main", "--template="]);
        repository
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn git(&self, arguments: &[&str]) -> String {
        git(self.path(), arguments)
    }

    /// Creates two commits. The second one edits the given number of files, except that it deletes every tenth of them.
    /// Returns their ids.
    pub fn of_changes(&self, directories: usize, files: usize, changed: usize) -> [String; 2] {
        let mut stream = "blob\nmark :1\ndata 1\n1\nblob\nmark :2\ndata 1\n2\n".to_owned();
        let path = |number: usize| format!("directory-{:04}/file-{number:06}", number % directories);
        stream += COMMIT;
        for number in 0..files {
            stream += &format!("M 100644 :1 {}\n", path(number));
        }
        stream += COMMIT;
        for number in 0..changed {
            match number % 10 {
                9 => stream += &format!("D {}\n", path(number)),
                _ => stream += &format!("M 100644 :2 {}\n", path(number)),
            }
        }
        self.import(&stream);
        self.last_two_commits()
    }

    /// Returns the ids of the last two commits of `main`.
    pub fn last_two_commits(&self) -> [String; 2] {
        let ids = self.git(&["rev-parse", "main~1", "main"]);
        let (before, after) = ids.split_once('\n').expect("two ids");
        [before, after].map(str::to_owned)
    }

    /// Runs git-fast-import, which creates a repository of 100,000 files in a second.
    pub fn import(&self, stream: &str) {
        let mut child = Command::new("git")
            // One file that is not flushed to the disk, instead of a file for each object.
            .args(["-c", "core.fsync=none", "-c", "fastimport.unpackLimit=0"])
            .args(["fast-import", "--quiet", "--force"])
            .current_dir(self.path())
            .stdin(Stdio::piped())
            .spawn()
            .expect("git");
        let mut stdin = child.stdin.take().expect("stdin");
        stdin.write_all(stream.as_bytes()).expect("the stream");
        drop(stdin);
        assert!(child.wait().expect("git").success());
    }

    /// Creates a clone as actions/checkout does: one commit without its history.
    pub fn shallow(&self, commit: &str) -> Self {
        let clone = Self::new();
        let url = format!("file://{}", self.path().display());
        self.git(&["config", "uploadpack.allowAnySHA1InWant", "true"]);
        clone.git(&["fetch", "--quiet", "--depth=1", &url, commit]);
        // The files are not needed.
        clone.git(&["update-ref", "--no-deref", "HEAD", "FETCH_HEAD"]);
        clone
    }
}

/// The start of a commit to `main`, for git-fast-import.
pub const COMMIT: &str = "commit refs/heads/main\ncommitter T <t@example.com> 1795633200 +0000\ndata 1\nc\n";

/// Runs git and returns its output without surrounding whitespace.
pub fn git(dir: &Path, arguments: &[&str]) -> String {
    let output = output_if_successful(dir, arguments).unwrap_or_else(|| panic!("git {arguments:?} failed"));
    String::from_utf8_lossy(&output).trim().to_owned()
}

/// Returns the output of git, or `None` if it fails.
pub fn output_if_successful(dir: &Path, arguments: &[&str]) -> Option<Vec<u8>> {
    let output = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@example.com"])
        .args(arguments)
        .current_dir(dir)
        .output()
        .expect("git");
    output.status.success().then_some(output.stdout)
}
