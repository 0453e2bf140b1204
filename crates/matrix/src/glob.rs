//! Go's `path.Match`, by which BuildKit matches the sources of COPY and ADD (cache/contenthash/checksum.go, fsutil's
//! copy.go): `*` and `?` match anything but `/`, `[a-z]` and `[^a-z]` a character, `\` takes the next one as it is.

use std::iter::Peekable;
use std::str::Chars;

/// Whether a source is a pattern at all: BuildKit takes one without an unescaped `*`, `?` or `[` literally, backslashes
/// included.
pub fn has_wildcards(text: &str) -> bool {
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '*' | '?' | '[' => return true,
            '\\' => drop(chars.next()),
            _ => (),
        }
    }
    false
}

/// Whether Go takes the pattern for well-formed.
pub fn is_valid(pattern: &str) -> bool {
    tokens(pattern).is_some()
}

/// A well-formed pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob(Vec<Token>);

impl Glob {
    pub fn new(pattern: &str) -> Option<Glob> {
        tokens(pattern).map(Glob)
    }

    /// Whether a part of the pattern may match a `/`: a class may, in Go.
    pub fn crosses_directories(&self) -> bool {
        self.0
            .iter()
            .any(|token| matches!(token, Token::Class { .. }) && token.takes('/'))
    }

    /// Whether the pattern matches all of the name. With one place to come back to: the last `*`. An earlier one need
    /// not take more, because it could only leave less for those after it.
    pub fn matches(&self, name: &str) -> bool {
        let (mut token, mut rest) = (0, name.chars());
        let mut star: Option<(usize, Chars<'_>)> = None;
        loop {
            let own = self.0.get(token);
            if matches!(own, Some(Token::Many)) {
                star = Some((token, rest.clone()));
                token += 1;
                continue;
            }
            match (own, rest.next()) {
                (None, None) => return true,
                (Some(own), Some(c)) if own.takes(c) => token += 1,
                _ => {
                    let Some((many, from)) = &mut star else {
                        return false;
                    };
                    if from.next().is_none_or(|c| c == '/') {
                        return false;
                    }
                    token = *many + 1;
                    rest = from.clone();
                }
            }
        }
    }
}

/// One part of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Char(char),
    /// `?`
    One,
    /// `*`
    Many,
    /// As Go has it, this may match `/` too.
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

impl Token {
    /// For tokens that stand for one character.
    fn takes(&self, c: char) -> bool {
        match self {
            Token::Char(own) => *own == c,
            Token::One | Token::Many => c != '/',
            Token::Class { negated, ranges } => {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *negated
            }
        }
    }
}

fn tokens(pattern: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        tokens.push(match c {
            '*' => Token::Many,
            '?' => Token::One,
            '\\' => Token::Char(chars.next()?),
            '[' => class(&mut chars)?,
            c => Token::Char(c),
        });
    }
    Some(tokens)
}

fn class(chars: &mut Peekable<Chars<'_>>) -> Option<Token> {
    let negated = chars.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    while ranges.is_empty() || chars.next_if_eq(&']').is_none() {
        let low = bound(chars)?;
        let high = if chars.next_if_eq(&'-').is_some() {
            bound(chars)?
        } else {
            low
        };
        ranges.push((low, high));
    }
    Some(Token::Class { negated, ranges })
}

/// An end of a range; `-` and `]` want a backslash there.
fn bound(chars: &mut Peekable<Chars<'_>>) -> Option<char> {
    match chars.next()? {
        '-' | ']' => None,
        '\\' => chars.next(),
        c => Some(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of Go's own test (src/path/match_test.go); `None` is ErrBadPattern.
    #[test]
    fn as_go_matches() {
        for (pattern, name, expected) in [
            ("abc", "abc", Some(true)),
            ("*", "abc", Some(true)),
            ("*c", "abc", Some(true)),
            ("a*", "a", Some(true)),
            ("a*", "abc", Some(true)),
            ("a*", "ab/c", Some(false)),
            ("a*/b", "abc/b", Some(true)),
            ("a*/b", "a/c/b", Some(false)),
            ("a*b*c*d*e*/f", "axbxcxdxe/f", Some(true)),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/f", Some(true)),
            ("a*b*c*d*e*/f", "axbxcxdxe/xxx/f", Some(false)),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/fff", Some(false)),
            ("a*b?c*x", "abxbbxdbxebxczzx", Some(true)),
            ("a*b?c*x", "abxbbxdbxebxczzy", Some(false)),
            ("ab[c]", "abc", Some(true)),
            ("ab[b-d]", "abc", Some(true)),
            ("ab[e-g]", "abc", Some(false)),
            ("ab[^c]", "abc", Some(false)),
            ("ab[^b-d]", "abc", Some(false)),
            ("ab[^e-g]", "abc", Some(true)),
            ("a\\*b", "a*b", Some(true)),
            ("a\\*b", "ab", Some(false)),
            ("a?b", "a☺b", Some(true)),
            ("a[^a]b", "a☺b", Some(true)),
            ("a???b", "a☺b", Some(false)),
            ("a[^a][^a][^a]b", "a☺b", Some(false)),
            ("[a-ζ]*", "α", Some(true)),
            ("*[a-ζ]", "A", Some(false)),
            ("a?b", "a/b", Some(false)),
            ("a*b", "a/b", Some(false)),
            ("[\\]a]", "]", Some(true)),
            ("[\\-]", "-", Some(true)),
            ("[x\\-]", "x", Some(true)),
            ("[x\\-]", "-", Some(true)),
            ("[x\\-]", "z", Some(false)),
            ("[\\-x]", "x", Some(true)),
            ("[\\-x]", "-", Some(true)),
            ("[\\-x]", "a", Some(false)),
            ("[]a]", "]", None),
            ("[-]", "-", None),
            ("[x-]", "x", None),
            ("[x-]", "-", None),
            ("[x-]", "z", None),
            ("[-x]", "x", None),
            ("[-x]", "-", None),
            ("[-x]", "a", None),
            ("\\", "a", None),
            ("[a-b-c]", "a", None),
            ("[", "a", None),
            ("[^", "a", None),
            ("[^bc", "a", None),
            ("a[", "a", None),
            ("a[", "ab", None),
            ("a[", "x", None),
            ("a/b[", "x", None),
            ("*x", "xxx", Some(true)),
        ] {
            let found = Glob::new(pattern).map(|glob| glob.matches(name));
            assert_eq!(found, expected, "{pattern} {name}");
        }
    }

    #[test]
    fn what_is_a_pattern() {
        for (text, expected) in [
            ("a.txt", false),
            ("*.txt", true),
            ("a?", true),
            ("[ab]", true),
            ("a\\*", false),
            ("a\\\\*", true),
        ] {
            assert_eq!(has_wildcards(text), expected, "{text}");
        }
    }
}
