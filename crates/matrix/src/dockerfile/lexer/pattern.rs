//! The modifiers of a substitution that take a pattern: `${a#b}`, `${a%b}`, `${a/b/c}`.

use super::HOLE;

/// Longer values, in bytes, are left open: all their parts are tried.
const LONGEST: usize = 1000;

#[derive(Debug, Clone, Copy)]
enum Part {
    Char(char),
    One,
    Many,
}

impl Part {
    fn takes(self, c: char) -> bool {
        match self {
            Part::Char(own) => own == c,
            Part::One | Part::Many => true,
        }
    }
}

/// Without the shortest, or with the operator doubled the longest, start (`#`) or end (`%`) that the pattern matches.
pub fn trimmed(operator: char, pattern: &str, value: &str) -> Result<String, String> {
    let (pattern, longest) = match pattern.strip_prefix(operator) {
        Some(rest) => (rest, true),
        None => (pattern, false),
    };
    let parts = parts(pattern)?;
    if pattern.contains(HOLE) || value.contains(HOLE) || value.len() > LONGEST {
        return Ok(HOLE.to_string());
    }
    let value: Vec<char> = value.chars().collect();
    let mut lengths: Vec<usize> = (0..=value.len()).collect();
    if longest {
        lengths.reverse();
    }
    let kept = |length: usize| match operator {
        '#' => (&value[..length], &value[length..]),
        _ => (&value[value.len() - length..], &value[..value.len() - length]),
    };
    let found = lengths
        .into_iter()
        .map(kept)
        .find(|(matched, _)| matches(&parts, matched));
    Ok(found.map_or(&value[..], |(_, rest)| rest).iter().collect())
}

/// With the first, or all, of what the pattern matches replaced. What BuildKit's regular expressions make of an empty
/// match, or of `$` in the replacement, is left open.
pub fn replaced(all: bool, pattern: &str, replacement: &str, value: &str) -> Result<String, String> {
    let parts = parts(pattern)?;
    let odd = parts.iter().all(|part| matches!(part, Part::Many))
        || replacement.contains('$')
        || value.len() > LONGEST;
    if odd
        || [pattern, replacement, value]
            .iter()
            .any(|text| text.contains(HOLE))
    {
        return Ok(HOLE.to_string());
    }
    let value: Vec<char> = value.chars().collect();
    let mut text = String::new();
    let (mut at, mut done) = (0, false);
    while let Some(c) = value.get(at) {
        let longest = (at + 1..=value.len())
            .rev()
            .find(|end| matches(&parts, &value[at..*end]));
        match longest {
            Some(end) if !done => {
                text.push_str(replacement);
                at = end;
                done = !all;
            }
            _ => {
                text.push(*c);
                at += 1;
            }
        }
    }
    Ok(text)
}

fn parts(pattern: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        parts.push(match c {
            '*' => Part::Many,
            '?' => Part::One,
            '\\' => match chars.next() {
                Some(c @ ('*' | '?' | '\\' | '/' | '}')) => Part::Char(c),
                _ => return Err(format!("{pattern} is not a pattern")),
            },
            c => Part::Char(c),
        });
    }
    Ok(parts)
}

/// Comes back to the last `*` only, as `matrix::glob` does.
fn matches(parts: &[Part], text: &[char]) -> bool {
    let (mut part, mut at) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        match (parts.get(part), text.get(at)) {
            (Some(Part::Many), _) => {
                star = Some((part, at));
                part += 1;
            }
            (None, None) => return true,
            (Some(own), Some(c)) if own.takes(*c) => {
                part += 1;
                at += 1;
            }
            _ => match star {
                Some((many, from)) if from < text.len() => {
                    star = Some((many, from + 1));
                    part = many + 1;
                    at = from + 1;
                }
                _ => return false,
            },
        }
    }
}
