//! Determines which frontend parses a Dockerfile (frontend/dockerfile/builder/build.go, parser/directives.go).

use std::collections::BTreeMap;

/// The build argument that overrides the directive.
const SYNTAX: &str = "BUILDKIT_SYNTAX";

/// Returns the line that selects a frontend other than Docker's; 1 if a build argument does.
pub fn other_frontend(text: &str, args: &BTreeMap<String, String>) -> Option<usize> {
    let (line, image) = match args.get(SYNTAX) {
        Some(value) => (1, value.trim()),
        None => directive(text)?,
    };
    let image = image.split(' ').next().unwrap_or_default();
    (!is_docker_frontend(image)).then_some(line)
}

/// Returns whether the image is Docker's frontend, from any registry: a mirror has the same frontend.
fn is_docker_frontend(image: &str) -> bool {
    let name = image.split('@').next().unwrap_or_default();
    let name = match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => name,
    };
    ["docker/dockerfile", "docker/dockerfile-upstream"]
        .iter()
        .any(|own| {
            name.strip_suffix(own)
                .is_some_and(|registry| registry.is_empty() || registry.ends_with('/'))
        })
}

/// Returns the line and value of `# syntax=` or `// syntax=`.
fn directive(text: &str) -> Option<(usize, &str)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let shebang = usize::from(text.starts_with("#!"));
    let find = |comment: &str| {
        let lines = text.lines().enumerate().skip(shebang);
        lines
            .map_while(|(index, line)| Some((index + 1, parse_directive(line.strip_prefix(comment)?)?)))
            .find_map(|(line, (name, value))| (name == "syntax").then_some((line, value)))
    };
    find("#").or_else(|| find("//"))
}

/// Parses a directive from the text after the comment sign.
pub fn parse_directive(comment: &str) -> Option<(String, &str)> {
    let (name, value) = comment.trim_start().split_once('=')?;
    let name = name.trim_end().to_ascii_lowercase();
    let value = value.trim();
    (matches!(name.as_str(), "syntax" | "escape" | "check") && !value.is_empty()).then_some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_frontends_are_detected() {
        for (text, expected) in [
            ("FROM a", None),
            ("# syntax=docker/dockerfile:1\nFROM a", None),
            ("# syntax=docker.io/docker/dockerfile:1.7-labs\nFROM a", None),
            (
                "# syntax=docker/dockerfile-upstream:master@sha256:00\nFROM a",
                None,
            ),
            ("# syntax=mirror.example:5000/docker/dockerfile\nFROM a", None),
            ("# escape=`\n#SYNTAX = r2d4/mocker \nFROM a", Some(2)),
            ("\u{feff}# syntax=mydocker/dockerfile\nFROM a", Some(1)),
            ("# syntax=docker/dockerfile2\nFROM a", Some(1)),
            ("#!/usr/bin/env x\n# syntax=a/b\n", Some(2)),
            ("// syntax=a/b\n", Some(1)),
            ("# a comment\n# syntax=a/b\nFROM a", None),
            ("FROM a\n# syntax=a/b\n", None),
        ] {
            assert_eq!(other_frontend(text, &BTreeMap::new()), expected, "{text}");
        }
    }

    #[test]
    fn the_build_argument_takes_precedence_over_the_directive() {
        let text = "# syntax=a/b\nFROM a";
        for (value, expected) in [("docker/dockerfile:1", None), ("c/d --option", Some(1))] {
            let args = BTreeMap::from([(SYNTAX.to_owned(), value.to_owned())]);
            assert_eq!(other_frontend(text, &args), expected, "{value}");
        }
    }
}
