//! One pattern of moby/patternmatcher.

use crate::glob;

/// Compiled as patternmatcher.go does it: most patterns are compared as text, the rest are regular expressions there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// Written with `!`: what it matches is not matched after all.
    pub is_exception: bool,
    cleaned: String,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Exact,
    /// `dir/**`
    Prefix,
    /// `**/name`
    Suffix,
    /// With the characters at its start and end that are no part of a wildcard: most paths are told by those.
    Parts {
        parts: Vec<Part>,
        start: String,
        end: String,
    },
    /// The regular expression that patternmatcher makes of it means something that nobody meant, such as `[*]`.
    Odd,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Char(char),
    /// `?`: one character, not `/`.
    One,
    /// `*`: any number of them.
    Many,
    /// `**/`: any number of directories.
    Directories,
    /// `**` at the end.
    Rest,
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

/// Whether a pattern matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Yes,
    No,
    Unknown,
}

impl Pattern {
    /// From a cleaned pattern; `None` where patternmatcher refuses it.
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
            kind: kind(cleaned),
        })
    }

    pub fn matches(&self, path: &str) -> Answer {
        let matches = match &self.kind {
            Kind::Exact => path == self.cleaned,
            Kind::Prefix => path.starts_with(&self.cleaned[..self.cleaned.len() - 2]),
            Kind::Suffix => {
                let suffix = &self.cleaned[2..];
                path.ends_with(suffix) || suffix.strip_prefix('/') == Some(path)
            }
            Kind::Parts { parts, start, end } => {
                path.starts_with(start) && path.ends_with(end) && run(parts, path)
            }
            Kind::Odd => return Answer::Unknown,
        };
        if matches { Answer::Yes } else { Answer::No }
    }

    /// The directories at its start that hold no special character.
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

/// As `Pattern.compile` goes through it.
fn kind(pattern: &str) -> Kind {
    let mut kind = Kind::Exact;
    let mut parts = Vec::new();
    let mut chars = pattern.chars().peekable();
    let mut first = true;
    let (mut regular, mut odd) = (false, false);
    while let Some(c) = chars.next() {
        let at_start = std::mem::take(&mut first);
        let special = match c {
            '*' if chars.next_if_eq(&'*').is_some() => {
                let _ = chars.next_if_eq(&'/');
                let at_end = chars.peek().is_none();
                parts.push(if at_end { Part::Rest } else { Part::Directories });
                if at_start {
                    kind = Kind::Suffix;
                    continue;
                }
                if at_end && !regular && matches!(kind, Kind::Exact) {
                    kind = Kind::Prefix;
                    continue;
                }
                true
            }
            '*' => {
                parts.push(Part::Many);
                true
            }
            '?' => {
                parts.push(Part::One);
                true
            }
            '\\' => {
                // Before a letter or digit it is an escape of regular expressions, as \d.
                let escaped = chars.next().unwrap_or('\\');
                odd |= escaped.is_alphanumeric();
                parts.push(Part::Char(escaped));
                true
            }
            '[' => {
                match class(&mut chars) {
                    Some(class) => parts.push(class),
                    None => odd = true,
                }
                true
            }
            ']' => {
                parts.push(Part::Char(c));
                true
            }
            c => {
                // The one special character of regular expressions that is not escaped.
                odd |= c == '^';
                parts.push(Part::Char(c));
                false
            }
        };
        regular |= special;
    }
    match (regular, odd) {
        // "**" alone, and "**/" cleaned to it: whatever is asked ends with nothing.
        (false, _) => kind,
        (true, true) => Kind::Odd,
        (true, false) => {
            let literal = |part: &Part| match part {
                Part::Char(c) => Some(*c),
                _ => None,
            };
            let start = parts.iter().map_while(literal).collect();
            let mut end: Vec<char> = parts.iter().rev().map_while(literal).collect();
            end.reverse();
            Kind::Parts {
                parts,
                start,
                end: end.into_iter().collect(),
            }
        }
    }
}

/// `None` for one whose regular expression is another thing than the class it looks like.
fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Part> {
    let negated = chars.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        let low = match chars.next()? {
            ']' if !ranges.is_empty() => return Some(Part::Class { negated, ranges }),
            c => bound(c, chars)?,
        };
        let high = match chars.next_if_eq(&'-') {
            Some(_) => chars.next().and_then(|c| bound(c, chars))?,
            None => low,
        };
        if low > high {
            return None;
        }
        ranges.push((low, high));
    }
}

fn bound(c: char, chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<char> {
    match c {
        '\\' => chars.next().filter(|c| !c.is_alphanumeric()),
        '*' | '?' | '[' | ']' | '-' | '^' | '&' | '~' => None,
        c => Some(c),
    }
}

/// Follows all ways through the pattern at once, so that no pattern takes longer than its length times the path's.
fn run(parts: &[Part], path: &str) -> bool {
    // At `index * 2` a part is still to come; at `index * 2 + 1` directories have been entered.
    let mut now = vec![false; parts.len() * 2 + 1];
    let mut next = now.clone();
    enter(parts, 0, &mut now);
    for c in path.chars() {
        next.fill(false);
        for (index, part) in parts.iter().enumerate() {
            let (outside, inside) = (now[index * 2], now[index * 2 + 1]);
            match part {
                Part::Directories if outside || inside => {
                    next[index * 2 + 1] = true;
                    if c == '/' {
                        enter(parts, index + 1, &mut next);
                    }
                }
                Part::Rest if outside => enter(parts, index, &mut next),
                Part::Many if outside && c != '/' => enter(parts, index, &mut next),
                Part::One if outside && c != '/' => enter(parts, index + 1, &mut next),
                Part::Char(own) if outside && *own == c => enter(parts, index + 1, &mut next),
                Part::Class { negated, ranges } if outside => {
                    let among = ranges.iter().any(|(low, high)| (*low..=*high).contains(&c));
                    if among != *negated {
                        enter(parts, index + 1, &mut next);
                    }
                }
                _ => (),
            }
        }
        std::mem::swap(&mut now, &mut next);
    }
    now[parts.len() * 2]
}

/// Comes to a part, and past it where it may match nothing.
fn enter(parts: &[Part], index: usize, states: &mut [bool]) {
    for index in index..=parts.len() {
        states[index * 2] = true;
        if !matches!(
            parts.get(index),
            Some(Part::Many | Part::Directories | Part::Rest)
        ) {
            return;
        }
    }
}
