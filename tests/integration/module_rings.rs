//! Checks that no two sibling modules use each other. Then one of them cannot be understood, changed or moved alone; what
//! both need belongs into one of them, or into a module of its own.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};

use super::sources::sources;

/// The path of a module, from the crate: `["agent", "startup", "failure"]`; the program is the crate `""`.
type ModulePath = Vec<String>;

/// Which file of a module uses which other module.
type Uses = BTreeMap<ModulePath, BTreeSet<ModulePath>>;

#[test]
fn no_two_siblings_use_each_other() -> Result<()> {
    let uses = uses(&sources()?);
    let known: usize = uses.values().map(BTreeSet::len).sum();
    ensure!(known > 500, "only {known} uses were found");
    let rings = rings(&uses);
    ensure!(
        rings.is_empty(),
        "these modules use each other; move what both need into one of them, or into a file of its own:\n{}",
        rings.join("\n")
    );
    Ok(())
}

#[test]
fn rings_are_found() {
    let rings_of = |files: &[(&str, &str)]| {
        let files = files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
        rings(&uses(&files.collect::<Vec<_>>()))
    };
    let user = ("a.rs", "use super::b;");
    for other in [
        "use super::{c as d, a::{X, y::Z}};",
        "use crate::{\n    a,\n    c,\n};",
        "fn f() { super::a::g() }",
    ] {
        let found = rings_of(&[user, ("b.rs", other)]);
        assert_eq!(found, ["crate::a and crate::b"], "{other}");
    }
    // A module includes what is below it.
    let below = [
        ("x/a/mod.rs", "mod inner;"),
        ("x/a/inner.rs", "use super::super::b::B;"),
        ("x/b.rs", "use super::a::A;"),
    ];
    assert_eq!(rings_of(&below), ["crate::x::a and crate::x::b"]);
    for allowed in [
        [
            user,
            ("b.rs", "use super::abc; use crate::agent::a; use other::a;"),
        ],
        // Parent and child.
        [
            ("a.rs", "mod b;\nuse b::B;\nuse self::b::C;"),
            ("a/b.rs", "use super::A;"),
        ],
        // Of two crates.
        [("agent/a.rs", "use crate::b;"), ("b.rs", "use crate::a;")],
    ] {
        assert_eq!(rings_of(&allowed), [""; 0], "{allowed:?}");
    }
}

/// Returns the uses of other modules: all paths that begin with `super` or `crate`. A name that the parent exports again
/// counts as the parent's.
fn uses(files: &[(String, String)]) -> Uses {
    let modules: Vec<(ModulePath, &str)> = files
        .iter()
        .map(|(path, text)| (module_path(path), text.as_str()))
        .collect();
    let known: BTreeSet<&ModulePath> = modules.iter().map(|(module, _)| module).collect();
    let mut uses = Uses::new();
    for (module, text) in &modules {
        let found = uses.entry(module.clone()).or_default();
        for start in ["super::", "crate::"] {
            for (at, _) in text.match_indices(start) {
                let before = text[..at].chars().next_back();
                if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
                    continue;
                }
                let paths = paths(&mut &text[at..]);
                found.extend(paths.iter().filter_map(|path| resolve(module, path, &known)));
            }
        }
    }
    uses
}

/// Returns the path of the module that a file is.
fn module_path(file: &str) -> ModulePath {
    let name = file.trim_end_matches(".rs");
    let (krate, name) = ["agent", "matrix"]
        .iter()
        .find_map(|krate| Some((*krate, name.strip_prefix(krate)?.strip_prefix('/')?)))
        .unwrap_or(("", name));
    let mut path = vec![krate.to_owned()];
    path.extend(name.split('/').map(str::to_owned));
    if path
        .last()
        .is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str()))
    {
        path.pop();
    }
    path
}

/// Parses a path and what it imports in braces. Returns each path that it stands for.
fn paths<'t>(text: &mut &'t str) -> Vec<Vec<&'t str>> {
    let mut path = Vec::new();
    loop {
        *text = text.trim_start();
        let end = text
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        *text = rest;
        if !name.is_empty() {
            path.push(name);
            match text.strip_prefix("::") {
                Some(rest) => *text = rest,
                None => return vec![path],
            }
            continue;
        }
        let Some(group) = text.strip_prefix('{') else {
            return vec![path];
        };
        *text = group;
        let mut all = Vec::new();
        loop {
            for inner in paths(text) {
                all.push([&path[..], &inner].concat());
            }
            // After a name there may be `as …`, and after its `::` a `*`.
            *text = &text[text.find([',', '}']).unwrap_or(text.len())..];
            match text.strip_prefix(',') {
                Some(rest) => *text = rest,
                None => {
                    *text = text.strip_prefix('}').unwrap_or(text);
                    return all;
                }
            }
        }
    }
}

/// Returns the module that a path is in.
fn resolve(module: &ModulePath, path: &[&str], known: &BTreeSet<&ModulePath>) -> Option<ModulePath> {
    let mut names = path.iter().peekable();
    let mut found = match path.first() {
        Some(&"crate") => {
            names.next();
            module[..1].to_vec()
        }
        _ => module.clone(),
    };
    while names.next_if(|name| **name == "super").is_some() {
        found.pop();
    }
    let top = found.len();
    for name in names {
        found.push((*name).to_owned());
        // `known` has no directory without a file of its own.
        let is_module = known.iter().any(|known| known.starts_with(&found));
        if !is_module {
            found.pop();
            break;
        }
    }
    (found.len() > top).then_some(found)
}

/// Returns the pairs of siblings that use each other, themselves or in a module below.
fn rings(uses: &Uses) -> Vec<String> {
    let mut siblings = BTreeSet::new();
    for (user, used) in uses
        .iter()
        .flat_map(|(user, all)| all.iter().map(move |used| (user, used)))
    {
        let common = user
            .iter()
            .zip(used)
            .take_while(|(one, other)| one == other)
            .count();
        if common > 0 && common < user.len().min(used.len()) {
            siblings.insert((&user[..=common], &used[..=common]));
        }
    }
    let name = |module: &[String]| match &module[0][..] {
        "" => format!("crate{}", module.join("::")),
        _ => module.join("::"),
    };
    siblings
        .iter()
        .filter(|(user, used)| user < used && siblings.contains(&(*used, *user)))
        .map(|(one, other)| format!("{} and {}", name(one), name(other)))
        .collect()
}
