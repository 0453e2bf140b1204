//! The example application that `demo` builds: the files of examples/demo, which are in the program (33 kB).

use std::path::Path;

use anyhow::Context;

macro_rules! files {
    ($($path:literal),+ $(,)?) => {
        [$(($path, include_bytes!(concat!("../../../examples/demo/", $path)))),+]
    };
}

const FILES: [(&str, &[u8]); 11] = files![
    ".dockerignore",
    "Dockerfile",
    "server/go.mod",
    "server/main.go",
    "web/build.js",
    "web/package-lock.json",
    "web/package.json",
    "web/page.js",
    "web/products.js",
    "web/style.css",
    "web/vendor/htm-3.1.1.tgz",
];

/// The line that [`change_line`] changes, in a source file of the server.
const CHANGED_FILE: &str = "server/main.go";
const LINE: &str = "const version = \"1.0.0\"";
const CHANGED_LINE: &str = "const version = \"1.0.1\"";

/// Writes the application to a directory, as a checkout does.
pub(super) fn write(dir: &Path) -> anyhow::Result<()> {
    for (path, content) in FILES {
        let file = dir.join(path);
        let parent = file.parent().unwrap_or(dir);
        std::fs::create_dir_all(parent)
            .and_then(|()| std::fs::write(&file, content))
            .with_context(|| format!("writing {} of the example application", file.display()))?;
    }
    Ok(())
}

/// Changes one line of the application, as a commit does.
pub(super) fn change_line(dir: &Path) -> anyhow::Result<()> {
    let file = dir.join(CHANGED_FILE);
    let text = std::fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    std::fs::write(&file, text.replace(LINE, CHANGED_LINE))
        .with_context(|| format!("writing {}", file.display()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::process::Command;

    use super::*;

    #[test]
    fn every_file_of_the_example_is_in_the_program() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/demo");
        let listed = Command::new("git").args(["ls-files"]).current_dir(&dir).output();
        let listed = String::from_utf8(listed.expect("git").stdout).expect("UTF-8");
        let expected: BTreeSet<&str> = listed.lines().filter(|file| *file != "workflow.yml").collect();
        let embedded: BTreeSet<&str> = FILES.iter().map(|(path, _)| *path).collect();
        assert_eq!(embedded, expected);
    }

    #[test]
    fn one_line_changes() {
        let dir = tempfile::tempdir().expect("a directory");
        write(dir.path()).expect("write");
        let read = || std::fs::read_to_string(dir.path().join(CHANGED_FILE)).expect("read");
        let before = read();
        change_line(dir.path()).expect("change");
        let after = read();
        let changed = before.lines().zip(after.lines()).filter(|(a, b)| a != b);
        assert_eq!(changed.collect::<Vec<_>>(), [(LINE, CHANGED_LINE)]);
    }
}
