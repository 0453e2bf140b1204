//! Files by lists of patterns: .dockerignore, and COPY's `--exclude` and `--parents`.

mod pattern;

use std::fmt;

use pattern::{Answer, Pattern};

/// A .dockerignore, as BuildKit applies it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ignore(Patterns);

impl Ignore {
    /// Where there is no such file.
    pub fn none() -> Ignore {
        Ignore::default()
    }

    /// A file that BuildKit refuses, and with it the build, ignores nothing: then whatever changes counts.
    pub fn parse(text: &str) -> Ignore {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = text.lines().filter_map(ignorefile_line);
        Ignore(Patterns::new(lines).unwrap_or_default())
    }

    /// Whether BuildKit leaves out the file at this path of the context.
    pub fn ignores(&self, path: &str) -> bool {
        self.0.matches(path, false)
    }

    /// Whether nothing is ignored.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A line's pattern (moby/patternmatcher, ignorefile.go). A comment has its `#` in the first column.
fn ignorefile_line(line: &str) -> Option<String> {
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

/// Patterns of moby/patternmatcher, in order; the last that speaks of a path decides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Patterns(Vec<Pattern>);

impl Patterns {
    /// `None` where patternmatcher refuses one of them.
    pub fn new(patterns: impl IntoIterator<Item = impl AsRef<str>>) -> Option<Patterns> {
        let patterns = patterns.into_iter();
        let mut all = Vec::with_capacity(patterns.size_hint().0);
        for pattern in patterns {
            let pattern = pattern.as_ref().trim();
            if !pattern.is_empty() {
                all.push(Pattern::new(&clean(pattern))?);
            }
        }
        Some(Patterns(all))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the patterns match a path: `MatchesUsingParentResults`, from the top of the path to its end, because that
    /// is what fsutil and BuildKit call for each entry of a tree. `MatchesOrParentMatches` differs where a pattern with
    /// `!` matches a parent that no pattern before it had matched. `doubtful` is the answer wanted where a pattern is
    /// too odd to tell.
    pub fn matches(&self, path: &str, doubtful: bool) -> bool {
        if self.0.is_empty() || path.is_empty() {
            return false;
        }
        let mut of_parent = vec![false; self.0.len()];
        let mut matched = false;
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        for end in ends {
            let Some(entry) = path.get(..end) else { continue };
            matched = false;
            for (pattern, of_parent) in self.0.iter().zip(&mut of_parent) {
                if !*of_parent {
                    // One that could not change the answer is not asked.
                    *of_parent = pattern.is_exception == matched
                        && match pattern.matches(entry) {
                            Answer::Yes => true,
                            Answer::No => false,
                            Answer::Unknown => doubtful != pattern.is_exception,
                        };
                }
                if *of_parent {
                    matched = !pattern.is_exception;
                }
            }
        }
        matched
    }

    /// Of each pattern, the directory below which all is that it matches; "" when it could be anything.
    pub fn literal_parents(&self) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(|pattern| !pattern.is_exception)
            .map(Pattern::literal_parent)
    }
}

impl fmt::Display for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let patterns: Vec<String> = self.0.iter().map(Pattern::to_string).collect();
        f.write_str(&patterns.join(" "))
    }
}

/// Go's `filepath.Clean`.
pub fn clean(path: &str) -> String {
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
