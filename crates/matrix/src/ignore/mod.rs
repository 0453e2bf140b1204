//! Matches paths with lists of patterns: .dockerignore, and COPY's `--exclude` and `--parents`.
//!
//! The patterns are moby/patternmatcher's. The crates `ignore` and `globset` implement gitignore and shell globs, which
//! differ in `**`, `!`, character classes and the matching of parent directories. With regex-lite the patterns would have
//! to be translated as patternmatcher does, and matching would be slower than the comparison of text here.

mod pattern;

use std::fmt;

use pattern::{MatchResult, Pattern};

/// A parsed .dockerignore. The default one ignores nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dockerignore(PatternList);

impl Dockerignore {
    /// Parses a .dockerignore. If BuildKit rejects the file, which fails the build, nothing is ignored, so that any change
    /// counts.
    pub fn parse(text: &str) -> Dockerignore {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = text.lines().filter_map(parse_line);
        Dockerignore(PatternList::new(lines).unwrap_or_default())
    }

    /// Returns whether BuildKit ignores the path of the context.
    pub fn ignores(&self, path: &str) -> bool {
        self.0.matches(path, false)
    }
}

/// Returns the pattern of a line (moby/patternmatcher, ignorefile.go). A comment has its `#` in the first column.
fn parse_line(line: &str) -> Option<String> {
    if line.starts_with('#') {
        return None;
    }
    let line = line.trim();
    if line.is_empty() {
        return None;
    }
    let (sign, rest) = match line.strip_prefix('!') {
        Some(rest) => ("!", rest.trim()),
        None => ("", line),
    };
    let cleaned = if rest.is_empty() {
        String::new()
    } else {
        clean(rest)
    };
    let relative = if cleaned.len() > 1 {
        cleaned.strip_prefix('/').unwrap_or(&cleaned)
    } else {
        &cleaned
    };
    Some(format!("{sign}{relative}"))
}

/// A list of moby/patternmatcher's patterns. The last pattern that matches a path decides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PatternList(Vec<Pattern>);

impl PatternList {
    /// Parses patterns; `None` if patternmatcher rejects one of them.
    pub fn new(patterns: impl IntoIterator<Item = impl AsRef<str>>) -> Option<PatternList> {
        let patterns = patterns.into_iter();
        let mut all = Vec::with_capacity(patterns.size_hint().0);
        for pattern in patterns {
            let pattern = pattern.as_ref().trim();
            if !pattern.is_empty() {
                all.push(Pattern::new(&clean(pattern))?);
            }
        }
        Some(PatternList(all))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether the patterns match a path. This is `MatchesUsingParentResults`, applied from the first component of
    /// the path to the last, because fsutil and BuildKit call that for each entry of a tree. `MatchesOrParentMatches`
    /// differs if a pattern with `!` matches a parent that no pattern before it matched. `if_unsupported` is the result
    /// if a pattern is not supported.
    pub fn matches(&self, path: &str, if_unsupported: bool) -> bool {
        if self.0.is_empty() || path.is_empty() {
            return false;
        }
        let mut parent_matched = vec![false; self.0.len()];
        let mut matched = false;
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        for end in ends {
            let Some(entry) = path.get(..end) else { continue };
            matched = false;
            for (pattern, parent_matched) in self.0.iter().zip(&mut parent_matched) {
                if !*parent_matched {
                    // Skip patterns that cannot change the result.
                    *parent_matched = pattern.is_exception == matched
                        && match pattern.matches(entry) {
                            MatchResult::Yes => true,
                            MatchResult::No => false,
                            MatchResult::Unsupported => if_unsupported != pattern.is_exception,
                        };
                }
                if *parent_matched {
                    matched = !pattern.is_exception;
                }
            }
        }
        matched
    }

    /// Returns for each pattern the directory below which all its matches are; "" if there is no such directory.
    pub(crate) fn literal_parents(&self) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(|pattern| !pattern.is_exception)
            .map(Pattern::literal_parent)
    }
}

impl fmt::Display for PatternList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let patterns: Vec<String> = self.0.iter().map(Pattern::to_string).collect();
        f.write_str(&patterns.join(" "))
    }
}

/// Cleans a path as Go's `filepath.Clean` does.
pub(crate) fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => (),
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            ".." if rooted => (),
            part => parts.push(part),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".into(),
        (false, false) => parts.join("/"),
    }
}

#[cfg(test)]
mod tests;
