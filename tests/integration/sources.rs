//! The program's sources, for the tests that check how its modules use each other.

use std::{fs, path::Path};

use anyhow::Result;

/// Returns the source files without tests and comments, by their path in src/. Paths of a crate start with its name.
pub(super) fn sources() -> Result<Vec<(String, String)>> {
    let roots = [
        ("", "src"),
        ("agent/", "crates/agent/src"),
        ("matrix/", "crates/matrix/src"),
        ("setup/", "crates/setup/src"),
    ];
    let mut found = Vec::new();
    for (prefix, dir) in roots {
        let src = Path::new(env!("CARGO_MANIFEST_DIR")).join(dir);
        let mut dirs = vec![src.clone()];
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(dir)? {
                let path = entry?.path();
                if path.is_dir() {
                    if !path.ends_with("tests") {
                        dirs.push(path);
                    }
                } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("tests.rs") {
                    let text = fs::read_to_string(&path)?;
                    let name = format!("{prefix}{}", path.strip_prefix(&src)?.to_string_lossy());
                    found.push((name, code(&text)));
                }
            }
        }
    }
    Ok(found)
}

/// Returns a source text without comments and without the items that only tests have.
fn code(text: &str) -> String {
    let mut kept = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim() != "#[cfg(test)]" {
            kept.push(line);
            continue;
        }
        // rustfmt ends an item with `;` on its line, or with the brace of its indentation.
        let indent = &line[..line.len() - line.trim_start().len()];
        let end = format!("{indent}}}");
        let is_last = |line: &str| {
            line == end
                || (line.starts_with(indent) && line.ends_with(';') && !line[indent.len()..].starts_with(' '))
        };
        for item in lines.by_ref() {
            if is_last(item) {
                break;
            }
        }
    }
    let is_comment = |line: &&str| line.trim_start().starts_with("//");
    kept.retain(|line| !is_comment(line));
    kept.join("\n")
}

#[test]
fn only_the_items_of_tests_are_left_out() {
    let text = "#[cfg(test)]\nmod tests;\n// note\nuse a::b;\n#[cfg(test)]\nmod more {\n    use c;\n    fn f() {\n    }\n}\nfn g() {}";
    assert_eq!(code(text), "use a::b;\nfn g() {}");
}
