//! Reads objects of a repository with one process of git, because a fake server reads hundreds of trees.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The entries of one directory: mode, name and id.
pub type TreeObject = Vec<(String, String, String)>;

/// A running `git cat-file --batch`.
pub struct ObjectReader {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl ObjectReader {
    pub fn start(repository: &Path) -> Self {
        let mut child = Command::new("git")
            .args(["cat-file", "--batch"])
            .current_dir(repository)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("git");
        Self {
            input: child.stdin.take().expect("stdin"),
            output: BufReader::new(child.stdout.take().expect("stdout")),
            child,
        }
    }

    /// Returns the entries of a tree, or of a commit's tree; `None` if it does not exist.
    pub fn tree(&mut self, id: &str) -> Option<TreeObject> {
        writeln!(self.input, "{id}^{{tree}}").expect("a request");
        let mut head = String::new();
        self.output.read_line(&mut head).expect("a response");
        let [id, "tree", length] = head.split_whitespace().collect::<Vec<_>>()[..] else {
            return None;
        };
        let id_bytes = id.len() / 2;
        let mut content = vec![0; length.parse().expect("a length")];
        self.output.read_exact(&mut content).expect("the object");
        // A newline follows.
        self.output.read_exact(&mut [0]).expect("the object's end");
        let mut entries = Vec::new();
        let mut rest = &content[..];
        while !rest.is_empty() {
            let end = rest.iter().position(|byte| *byte == 0).expect("the name's end");
            let (head, id) = (&rest[..end], &rest[end + 1..][..id_bytes]);
            rest = &rest[end + 1 + id_bytes..];
            let head = String::from_utf8_lossy(head);
            let (mode, name) = head.split_once(' ').expect("a mode");
            entries.push((mode.to_owned(), name.to_owned(), hexadecimal(id)));
        }
        Some(entries)
    }
}

/// Returns an id as text. A macro of formatting would take seconds for 100,000 ids.
fn hexadecimal(id: &[u8]) -> String {
    let digit = |digit: u8| char::from(b"0123456789abcdef"[usize::from(digit)]);
    id.iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

impl Drop for ObjectReader {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
