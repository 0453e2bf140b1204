//! Go's `path.Match`, with which BuildKit matches the sources of COPY and ADD (cache/contenthash/checksum.go, fsutil's
//! copy.go): `*` and `?` match any character except `/`, `[a-z]` and `[^a-z]` match one character, `\` escapes the next
//! one. The crate `globset` has other rules: `{a,b}`, `[!a]`, `**`, and no class that matches `/`.

use std::iter::Peekable;
use std::str::Chars;

/// Returns whether a source is a pattern. BuildKit uses a source without an unescaped `*`, `?` or `[` literally, including
/// its backslashes.
pub(crate) fn has_wildcards(text: &str) -> bool {
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

/// Returns whether Go accepts the pattern.
pub fn is_valid(pattern: &str) -> bool {
    parse_tokens(pattern).is_some()
}

/// A compiled pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob(Vec<GlobToken>);

impl Glob {
    pub fn new(pattern: &str) -> Option<Glob> {
        parse_tokens(pattern).map(Glob)
    }

    /// Returns whether a token of the pattern may match a `/`: a character class may, in Go.
    pub(crate) fn crosses_directories(&self) -> bool {
        self.0
            .iter()
            .any(|token| matches!(token, GlobToken::Class { .. }) && token.matches_char('/'))
    }

    /// Returns whether the pattern matches the whole name. Backtracks to the last `*` only: if an earlier one matched more,
    /// less would remain for the tokens after it.
    pub fn matches(&self, name: &str) -> bool {
        let (mut token, mut rest) = (0, name.chars());
        let mut star: Option<(usize, Chars<'_>)> = None;
        loop {
            let own = self.0.get(token);
            if matches!(own, Some(GlobToken::AnyChars)) {
                star = Some((token, rest.clone()));
                token += 1;
                continue;
            }
            match (own, rest.next()) {
                (None, None) => return true,
                (Some(own), Some(c)) if own.matches_char(c) => token += 1,
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

/// One token of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
enum GlobToken {
    Char(char),
    /// `?`
    AnyChar,
    /// `*`
    AnyChars,
    /// In Go a class may match `/` too.
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

impl GlobToken {
    /// Returns whether a token that stands for one character matches it.
    fn matches_char(&self, c: char) -> bool {
        match self {
            GlobToken::Char(own) => *own == c,
            GlobToken::AnyChar | GlobToken::AnyChars => c != '/',
            GlobToken::Class { negated, ranges } => {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *negated
            }
        }
    }
}

fn parse_tokens(pattern: &str) -> Option<Vec<GlobToken>> {
    let mut tokens = Vec::new();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        tokens.push(match c {
            '*' => GlobToken::AnyChars,
            '?' => GlobToken::AnyChar,
            '\\' => GlobToken::Char(chars.next()?),
            '[' => parse_class(&mut chars)?,
            c => GlobToken::Char(c),
        });
    }
    Some(tokens)
}

fn parse_class(chars: &mut Peekable<Chars<'_>>) -> Option<GlobToken> {
    let negated = chars.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    while ranges.is_empty() || chars.next_if_eq(&']').is_none() {
        let low = parse_bound(chars)?;
        let high = if chars.next_if_eq(&'-').is_some() {
            parse_bound(chars)?
        } else {
            low
        };
        ranges.push((low, high));
    }
    Some(GlobToken::Class { negated, ranges })
}

/// Parses one end of a range, where `-` and `]` need a backslash.
fn parse_bound(chars: &mut Peekable<Chars<'_>>) -> Option<char> {
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
    fn matches_as_go_does() {
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
    fn patterns_are_distinguished_from_paths() {
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
