//! A pattern of moby/patternmatcher.

use crate::glob;

/// A compiled pattern. patternmatcher.go compares most patterns as text, and compiles the others to regular expressions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// Written with `!`: paths that match are excluded from the matches of earlier patterns.
    pub is_exception: bool,
    cleaned: String,
    kind: PatternKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum PatternKind {
    Exact,
    /// `dir/**`
    Prefix,
    /// `**/name`
    Suffix,
    /// A pattern with wildcards. `start` and `end` are its literal prefix and suffix, which decide most paths.
    Tokens {
        tokens: Vec<IgnoreToken>,
        start: String,
        end: String,
    },
    /// A pattern such as `[*]`, which patternmatcher compiles to a regular expression with another meaning than intended.
    Unsupported,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum IgnoreToken {
    Char(char),
    /// `?`: one character except `/`.
    AnyChar,
    /// `*`: any number of characters except `/`.
    AnyChars,
    /// `**/`: any number of directories.
    Directories,
    /// `**` at the end.
    Rest,
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

/// The result of matching a path with a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MatchResult {
    Yes,
    No,
    Unsupported,
}

impl Pattern {
    /// Compiles a cleaned pattern; `None` if patternmatcher rejects it.
    pub fn new(cleaned: &str) -> Option<Pattern> {
        let (is_exception, cleaned) = match cleaned.strip_prefix('!') {
            Some("") => return None,
            Some(rest) => (true, rest),
            None => (false, cleaned),
        };
        if !glob::is_valid(cleaned) {
            return None;
        }
        Some(Pattern {
            is_exception,
            cleaned: cleaned.into(),
            kind: compile(cleaned),
        })
    }

    pub fn matches(&self, path: &str) -> MatchResult {
        let matches = match &self.kind {
            PatternKind::Exact => path == self.cleaned,
            PatternKind::Prefix => path.starts_with(&self.cleaned[..self.cleaned.len() - 2]),
            PatternKind::Suffix => {
                let suffix = &self.cleaned[2..];
                path.ends_with(suffix) || suffix.strip_prefix('/') == Some(path)
            }
            PatternKind::Tokens { tokens, start, end } => {
                path.starts_with(start) && path.ends_with(end) && matches_tokens(tokens, path)
            }
            PatternKind::Unsupported => return MatchResult::Unsupported,
        };
        if matches {
            MatchResult::Yes
        } else {
            MatchResult::No
        }
    }

    /// Returns the directories at its start that contain no special character.
    pub fn literal_parent(&self) -> &str {
        let special = self
            .cleaned
            .find(['*', '?', '[', ']', '\\', '^'])
            .unwrap_or(self.cleaned.len());
        let end = self.cleaned[..special].rfind('/').unwrap_or(0);
        &self.cleaned[..end]
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", if self.is_exception { "!" } else { "" }, self.cleaned)
    }
}

/// Compiles the pattern as `Pattern.compile` in patternmatcher.go does.
fn compile(pattern: &str) -> PatternKind {
    let mut kind = PatternKind::Exact;
    let mut tokens = Vec::new();
    let mut chars = pattern.chars().peekable();
    let mut first = true;
    let (mut is_regex, mut unsupported) = (false, false);
    while let Some(c) = chars.next() {
        let at_start = std::mem::take(&mut first);
        let special = match c {
            '*' if chars.next_if_eq(&'*').is_some() => {
                let _ = chars.next_if_eq(&'/');
                let at_end = chars.peek().is_none();
                tokens.push(if at_end {
                    IgnoreToken::Rest
                } else {
                    IgnoreToken::Directories
                });
                if at_start {
                    kind = PatternKind::Suffix;
                    continue;
                }
                if at_end && !is_regex && matches!(kind, PatternKind::Exact) {
                    kind = PatternKind::Prefix;
                    continue;
                }
                true
            }
            '*' => {
                tokens.push(IgnoreToken::AnyChars);
                true
            }
            '?' => {
                tokens.push(IgnoreToken::AnyChar);
                true
            }
            '\\' => {
                // Before a letter or digit it is an escape sequence of regular expressions, such as \d.
                let escaped = chars.next().unwrap_or('\\');
                unsupported |= escaped.is_alphanumeric();
                tokens.push(IgnoreToken::Char(escaped));
                true
            }
            '[' => {
                match parse_class(&mut chars) {
                    Some(class) => tokens.push(class),
                    None => unsupported = true,
                }
                true
            }
            ']' => {
                tokens.push(IgnoreToken::Char(c));
                true
            }
            c => {
                // The only special character of regular expressions that patternmatcher does not escape.
                unsupported |= c == '^';
                tokens.push(IgnoreToken::Char(c));
                false
            }
        };
        is_regex |= special;
    }
    match (is_regex, unsupported) {
        // This includes "**", and "**/" cleaned to it: every path ends with the empty suffix.
        (false, _) => kind,
        (true, true) => PatternKind::Unsupported,
        (true, false) => {
            let literal = |token: &IgnoreToken| match token {
                IgnoreToken::Char(c) => Some(*c),
                _ => None,
            };
            let start = tokens.iter().map_while(literal).collect();
            let mut end: Vec<char> = tokens.iter().rev().map_while(literal).collect();
            end.reverse();
            PatternKind::Tokens {
                tokens,
                start,
                end: end.into_iter().collect(),
            }
        }
    }
}

/// Parses a character class; `None` if its regular expression has another meaning than the class.
fn parse_class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<IgnoreToken> {
    let negated = chars.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        let low = match chars.next()? {
            ']' if !ranges.is_empty() => return Some(IgnoreToken::Class { negated, ranges }),
            c => parse_bound(c, chars)?,
        };
        let high = match chars.next_if_eq(&'-') {
            Some(_) => chars.next().and_then(|c| parse_bound(c, chars))?,
            None => low,
        };
        if low > high {
            return None;
        }
        ranges.push((low, high));
    }
}

fn parse_bound(c: char, chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<char> {
    match c {
        '\\' => chars.next().filter(|c| !c.is_alphanumeric()),
        '*' | '?' | '[' | ']' | '-' | '^' | '&' | '~' => None,
        c => Some(c),
    }
}

/// Matches the path by tracking all states at once, so that the time is at most the pattern's length times the path's.
fn matches_tokens(tokens: &[IgnoreToken], path: &str) -> bool {
    // State `index * 2`: the token is next. State `index * 2 + 1`: inside the directories that the token matches.
    let mut now = vec![false; tokens.len() * 2 + 1];
    let mut next = now.clone();
    activate(tokens, 0, &mut now);
    for c in path.chars() {
        next.fill(false);
        for (index, token) in tokens.iter().enumerate() {
            let (outside, inside) = (now[index * 2], now[index * 2 + 1]);
            match token {
                IgnoreToken::Directories if outside || inside => {
                    next[index * 2 + 1] = true;
                    if c == '/' {
                        activate(tokens, index + 1, &mut next);
                    }
                }
                IgnoreToken::Rest if outside => activate(tokens, index, &mut next),
                IgnoreToken::AnyChars if outside && c != '/' => activate(tokens, index, &mut next),
                IgnoreToken::AnyChar if outside && c != '/' => activate(tokens, index + 1, &mut next),
                IgnoreToken::Char(own) if outside && *own == c => activate(tokens, index + 1, &mut next),
                IgnoreToken::Class { negated, ranges } if outside => {
                    let among = ranges.iter().any(|(low, high)| (*low..=*high).contains(&c));
                    if among != *negated {
                        activate(tokens, index + 1, &mut next);
                    }
                }
                _ => (),
            }
        }
        std::mem::swap(&mut now, &mut next);
    }
    now[tokens.len() * 2]
}

/// Activates a token, and the tokens after it while they may match the empty string.
fn activate(tokens: &[IgnoreToken], index: usize, states: &mut [bool]) {
    for index in index..=tokens.len() {
        states[index * 2] = true;
        if !matches!(
            tokens.get(index),
            Some(IgnoreToken::AnyChars | IgnoreToken::Directories | IgnoreToken::Rest)
        ) {
            return;
        }
    }
}
