//! Checks that the documentation matches the source: generated sections are up to date, links resolve, and the errors,
//! fault tests and module boundaries that it describes are the real ones.
//!
//! `cargo xtask generate` runs the test of the generated sections with [`WRITE`] set: the test then writes them instead of
//! comparing.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::sources::sources;

const WRITE: &str = "REMOTE_BUILDKIT_WRITE_DOCUMENTS";

/// Starts a generated section, which [`END`] ends.
const BEGIN: &str = "<!-- generated from ";
const END: &str = "<!-- end -->";

const FAULT_TABLE: &str = "docs/design/fault-tests.md";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> Result<String> {
    let path = root().join(path);
    fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))
}

#[test]
fn generated_parts_are_up_to_date() -> Result<()> {
    for path in documents()? {
        let document = fs::read_to_string(&path)?;
        let generated = generate(&document)?;
        // Other tests read the pages at the same time, so an unchanged one is not written.
        if document == generated {
            continue;
        }
        ensure!(
            std::env::var_os(WRITE).is_some(),
            "{} is out of date; run `cargo xtask generate`",
            path.display()
        );
        fs::write(path, generated)?;
    }
    Ok(())
}

/// Sections that a unit test of the program generates, because they need its code: `src/tests.rs`.
const GENERATED_FROM_CODE: [&str; 2] = ["src/cli", "src/error_code.rs"];

/// Returns the document with its generated sections regenerated. A source is a file, which is quoted, or a section of an
/// action.yml, which becomes a table.
fn generate(document: &str) -> Result<String> {
    let mut out = String::new();
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        out += &format!("{line}\n");
        let Some(source) = line
            .strip_prefix(BEGIN)
            .and_then(|rest| rest.strip_suffix(" -->"))
        else {
            continue;
        };
        if GENERATED_FROM_CODE.contains(&source) {
            continue;
        }
        ensure!(lines.any(|l| l == END), "{line} has no matching {END}");
        out += &match source.split_once(": ") {
            Some((action, "inputs")) => inputs(action)?,
            Some((action, "outputs")) => outputs(action)?,
            _ => quoted(source)?,
        };
        out += &format!("{END}\n");
    }
    Ok(out)
}

fn quoted(file: &str) -> Result<String> {
    let language = match Path::new(file).extension().and_then(|e| e.to_str()) {
        Some("yml" | "yaml") => "yaml",
        Some("json") => "json",
        _ => "",
    };
    Ok(format!("```{language}\n{}\n```\n", read(file)?.trim_end()))
}

fn inputs(action: &str) -> Result<String> {
    let mut table = "| Input | Default | Meaning |\n|---|---|---|\n".to_owned();
    for (name, input) in section(action, "inputs")? {
        let default = input["default"].as_str();
        let default = default.map_or_else(String::new, |d| format!("`{d}`"));
        table += &format!("| `{name}` | {default} | {} |\n", description(&name, &input)?);
    }
    Ok(table)
}

fn outputs(action: &str) -> Result<String> {
    let mut table = "| Output | Meaning |\n|---|---|\n".to_owned();
    for (name, output) in section(action, "outputs")? {
        table += &format!("| `{name}` | {} |\n", description(&name, &output)?);
    }
    Ok(table)
}

fn section(action: &str, name: &str) -> Result<Vec<(String, Value)>> {
    let text: Value = serde_saphyr::from_str(&read(action)?)?;
    let section = text[name].as_object().cloned();
    Ok(section
        .with_context(|| format!("{action} has no {name}"))?
        .into_iter()
        .collect())
}

fn description(name: &str, of: &Value) -> Result<String> {
    let text = of["description"].as_str();
    Ok(text
        .with_context(|| format!("{name} has no description"))?
        .replace('|', "\\|"))
}

#[test]
fn links_resolve() -> Result<()> {
    let mut followed = 0;
    for document in documents()? {
        let text = fs::read_to_string(&document)?;
        let dir = document.parent().unwrap_or(root());
        for link in links(&text) {
            let (path, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() {
                document.clone()
            } else {
                dir.join(path)
            };
            ensure!(target.exists(), "{}: {link} does not exist", document.display());
            if !heading.is_empty() {
                let headings = headings(&fs::read_to_string(&target)?);
                ensure!(
                    headings.contains(heading),
                    "{}: {link}: no such heading, there are {headings:?}",
                    document.display()
                );
            }
            followed += 1;
        }
    }
    ensure!(followed > 5, "only {followed} links were found");
    Ok(())
}

/// A reader finds the first example on the first screen, and the overviews stay short.
#[test]
fn overviews_are_short() -> Result<()> {
    for (page, limit) in [("README.md", 200), ("ARCHITECTURE.md", 120)] {
        let lines = read(page)?.lines().count();
        ensure!(lines <= limit, "{page} has {lines} lines, more than {limit}");
    }
    let first = read("README.md")?.lines().position(|line| line.contains("uses:"));
    ensure!(
        first.is_some_and(|line| line < 45),
        "README.md: no `uses:` in the first 45 lines"
    );
    Ok(())
}

/// Every page is linked from an overview: those in docs/ from the README, those in docs/design/ from ARCHITECTURE.md.
#[test]
fn pages_are_linked() -> Result<()> {
    for (overview, dir) in [("README.md", "docs"), ("ARCHITECTURE.md", "docs/design")] {
        let text = read(overview)?;
        let linked: BTreeSet<&str> = links(&text).filter_map(|link| link.split('#').next()).collect();
        for page in documents()? {
            let page = page.strip_prefix(root())?;
            let name = page.to_string_lossy();
            if page.parent() == Some(Path::new(dir)) {
                ensure!(
                    linked.contains(name.as_ref()),
                    "{overview} does not link to {name}"
                );
            }
        }
    }
    Ok(())
}

/// Returns the Markdown files of the top level, docs/ and docs/design/.
fn documents() -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for dir in [".", "docs", "docs/design"] {
        for entry in fs::read_dir(root().join(dir)).with_context(|| format!("could not list {dir}"))? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == "md") {
                found.push(path);
            }
        }
    }
    Ok(found)
}

/// Returns the targets of `[text](target)` that lie within the repository.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target)
        .filter(|target| !target.contains("://"))
}

/// Returns the anchors that GitHub gives to the headings.
fn headings(text: &str) -> BTreeSet<String> {
    // Code blocks are skipped: a # there starts a comment.
    let prose = text.split("```").step_by(2).flat_map(str::lines);
    let titles = prose.filter(|line| line.starts_with('#'));
    let titles = titles.map(|line| line.trim_start_matches('#').trim().to_lowercase());
    titles
        .map(|title| {
            let kept = title
                .chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

/// Each row of the fault table names an existing test, and each test in tests/lab/faults has a row.
#[test]
fn fault_table_matches_fault_tests() -> Result<()> {
    let table = read(FAULT_TABLE)?;
    let cells = table.lines().filter_map(|row| row.split('|').nth(6));
    let named: BTreeSet<String> = cells
        .filter_map(|cell| cell.trim().strip_prefix('`')?.strip_suffix('`'))
        .map(str::to_owned)
        .collect();
    let faults: BTreeSet<String> = tests_in("tests/lab/faults")?
        .iter()
        .map(|test| format!("faults::{test}"))
        .collect();
    ensure!(!faults.is_empty(), "tests/lab/faults has no tests");
    for test in &faults {
        ensure!(named.contains(test), "{FAULT_TABLE} has no row for {test}");
    }
    let others = tests_in("tests/lab")?;
    for test in &named {
        ensure!(
            faults.contains(test) || others.contains(test),
            "{FAULT_TABLE} names {test}, which does not exist"
        );
    }
    Ok(())
}

/// Returns `module::name` of each test in the directory.
fn tests_in(dir: &str) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(root().join(dir))? {
        let path = entry?.path();
        if path.extension().is_none_or(|e| e != "rs") {
            continue;
        }
        let module = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let text = fs::read_to_string(&path)?;
        for test in text.split("#[test]\nfn ").skip(1) {
            let (name, _) = test.split_once('(').context("a test without a parameter list")?;
            found.insert(format!("{module}::{name}"));
        }
    }
    Ok(found)
}

/// Words that only these files may contain, as ARCHITECTURE.md says.
const KNOWN_TO: &[(&str, &[&str])] = &[
    ("aws_", &["aws/"]),
    (
        "kube::",
        &["cluster/", "kubeconfig.rs", "commands/cluster_access.rs"],
    ),
    (
        "k8s_openapi::",
        &["agent/", "cluster/", "commands/cluster_access.rs"],
    ),
    ("ClientBuilder::try_from", &["cluster/"]),
    ("hyper::", &["cluster/", "failure_kind.rs", "http_client.rs"]),
    (
        "hyper_util::",
        &["cluster/", "connection_error.rs", "http_client.rs"],
    ),
    ("octocrab::", &["github/api/"]),
    ("Command::new(\"git\")", &["git/"]),
    ("native_certs", &["trust.rs"]),
    ("DriverOpts", &["buildx/"]),
    ("\"instances\"", &["buildx/"]),
    ("::add-mask", &["github/"]),
    ("GITHUB_OUTPUT", &["github/", "env.rs"]),
    ("std::env::var_os(", &["env.rs"]),
];

/// The modules that send requests.
const CLIENTS: &[&str] = &["crate::aws", "crate::cluster", "crate::github", "crate::commands"];

/// Words that a module may not contain.
const UNKNOWN_TO: &[(&str, &[&str])] = &[
    (
        "inputs",
        &["std::fs", "std::env", "env::get", "::now()", "async ", "kube::"],
    ),
    (
        "aws/",
        &[
            "crate::github",
            "crate::cluster",
            "crate::buildx",
            "crate::commands",
        ],
    ),
    (
        "cluster/",
        &["crate::github", "crate::aws", "crate::buildx", "crate::commands"],
    ),
    (
        "git/",
        &[
            "crate::github",
            "crate::aws",
            "crate::cluster",
            "crate::buildx",
            "crate::commands",
        ],
    ),
    ("proxy.rs", CLIENTS),
    ("trust.rs", CLIENTS),
    ("trace.rs", CLIENTS),
    ("http_client.rs", CLIENTS),
    ("connection_error.rs", CLIENTS),
    ("download.rs", CLIENTS),
    (
        "machine/",
        &[
            "crate::aws",
            "crate::buildx",
            "crate::cluster",
            "crate::commands",
            "crate::github",
            "crate::inputs",
        ],
    ),
    (
        "buildx/",
        &["crate::github", "crate::aws", "crate::cluster", "crate::commands"],
    ),
    (
        "github/",
        &["crate::aws", "crate::cluster", "crate::buildx", "crate::commands"],
    ),
];

#[test]
fn module_boundaries_hold() -> Result<()> {
    let sources = sources()?;
    for (word, allowed) in KNOWN_TO {
        let knows = |path: &str| allowed.iter().any(|a| path.starts_with(a));
        let mut known = false;
        for (path, _) in sources.iter().filter(|(_, text)| text.contains(word)) {
            ensure!(
                knows(path),
                "{path} contains {word}, which is allowed only in {allowed:?}"
            );
            known = true;
        }
        ensure!(known, "nothing contains {word}: this line is out of date");
    }
    for (module, words) in UNKNOWN_TO {
        let mut files = sources
            .iter()
            .filter(|(path, _)| path.starts_with(module))
            .peekable();
        ensure!(files.peek().is_some(), "{module} does not exist");
        for (path, text) in files {
            for word in *words {
                ensure!(!text.contains(word), "{path} contains {word}");
            }
        }
    }
    Ok(())
}
