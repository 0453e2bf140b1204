//! Checks the pages of the documentation that are generated from code.

use std::fs;
use std::path::Path;

use crate::{cli, error_code};

/// If set, the test writes the pages instead of comparing them. `cargo xtask generate` sets it.
const WRITE: &str = "REMOTE_BUILDKIT_WRITE_DOCUMENTS";

/// `tests/integration/documents.rs` generates the sections from other sources.
#[test]
fn documents_generated_from_code_are_up_to_date() {
    for (page, source, section) in [
        ("docs/cli.md", "src/cli", cli::reference()),
        ("docs/errors.md", "src/error_code.rs", error_code::reference()),
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
        let text = fs::read_to_string(&path).expect(page);
        let begin = format!("<!-- generated from {source} -->\n");
        let (before, rest) = text.split_once(&begin).expect("the begin marker");
        let (_, after) = rest.split_once("<!-- end -->\n").expect("the end marker");
        let generated = format!("{before}{begin}{section}<!-- end -->\n{after}");
        // Other tests read the page at the same time, so an unchanged one is not written.
        if text == generated {
            continue;
        }
        assert!(
            std::env::var_os(WRITE).is_some(),
            "{page} is out of date; run `cargo xtask generate`"
        );
        fs::write(path, generated).expect(page);
    }
}
