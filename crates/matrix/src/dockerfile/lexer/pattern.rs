//! The substitution modifiers that take a pattern: `${a#b}`, `${a%b}`, `${a/b/c}`.

use super::super::unresolved::UNRESOLVED;
use crate::dockerfile::error::DockerfileErrorKind;

/// The most bytes of a value. Longer values count as unknown, because matching tries every substring.
const MAX_BYTES: usize = 1000;

#[derive(Debug, Clone, Copy)]
enum PatternToken {
    Char(char),
    One,
    Many,
}

impl PatternToken {
    fn matches(self, c: char) -> bool {
        match self {
            PatternToken::Char(own) => own == c,
            PatternToken::One | PatternToken::Many => true,
        }
    }
}

/// Removes the shortest prefix (`#`) or suffix (`%`) that the pattern matches; the longest if the operator is doubled.
pub fn trim(operator: char, pattern: &str, value: &str) -> Result<String, DockerfileErrorKind> {
    let (pattern, longest) = match pattern.strip_prefix(operator) {
        Some(rest) => (rest, true),
        None => (pattern, false),
    };
    let tokens = tokens(pattern)?;
    if pattern.contains(UNRESOLVED) || value.contains(UNRESOLVED) || value.len() > MAX_BYTES {
        return Ok(UNRESOLVED.to_string());
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
        .find(|(matched, _)| matches(&tokens, matched));
    Ok(found.map_or(&value[..], |(_, rest)| rest).iter().collect())
}

/// Replaces the first match of the pattern, or all matches. The result counts as unknown for an empty match and for `$` in
/// the replacement, whose meaning depends on BuildKit's regular expressions.
pub fn replace(
    all: bool,
    pattern: &str,
    replacement: &str,
    value: &str,
) -> Result<String, DockerfileErrorKind> {
    let tokens = tokens(pattern)?;
    let is_ambiguous = tokens.iter().all(|token| matches!(token, PatternToken::Many))
        || replacement.contains('$')
        || value.len() > MAX_BYTES;
    if is_ambiguous
        || [pattern, replacement, value]
            .iter()
            .any(|text| text.contains(UNRESOLVED))
    {
        return Ok(UNRESOLVED.to_string());
    }
    let value: Vec<char> = value.chars().collect();
    let mut text = String::new();
    let (mut at, mut done) = (0, false);
    while let Some(c) = value.get(at) {
        let longest = (at + 1..=value.len())
            .rev()
            .find(|end| matches(&tokens, &value[at..*end]));
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

fn tokens(pattern: &str) -> Result<Vec<PatternToken>, DockerfileErrorKind> {
    let mut tokens = Vec::new();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        tokens.push(match c {
            '*' => PatternToken::Many,
            '?' => PatternToken::One,
            '\\' => match chars.next() {
                Some(c @ ('*' | '?' | '\\' | '/' | '}')) => PatternToken::Char(c),
                _ => return Err(DockerfileErrorKind::InvalidPattern(pattern.to_owned())),
            },
            c => PatternToken::Char(c),
        });
    }
    Ok(tokens)
}

/// Backtracks to the last `*` only, as [`crate::glob`] does.
fn matches(tokens: &[PatternToken], text: &[char]) -> bool {
    let (mut token, mut at) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        match (tokens.get(token), text.get(at)) {
            (Some(PatternToken::Many), _) => {
                star = Some((token, at));
                token += 1;
            }
            (None, None) => return true,
            (Some(own), Some(c)) if own.matches(*c) => {
                token += 1;
                at += 1;
            }
            _ => match star {
                Some((many, from)) if from < text.len() => {
                    star = Some((many, from + 1));
                    token = many + 1;
                    at = from + 1;
                }
                _ => return false,
            },
        }
    }
}
