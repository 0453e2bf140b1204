//! From a Dockerfile's text to its instructions' lines: comments, continued lines, here-documents (BuildKit's
//! parser/parser.go).

use super::SyntaxFault;
use super::instruction;
use super::lexer::{self, Lexer};
use super::syntax;

/// An instruction, its lines joined.
#[derive(Debug)]
pub struct Line {
    /// Of its first line, from 1.
    pub number: usize,
    pub text: String,
}

#[derive(Debug)]
pub struct Lines {
    /// `\`, or a backquote by a directive.
    pub escape: char,
    pub lines: Vec<Line>,
}

pub fn split(text: &str) -> Result<Lines, SyntaxFault> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut directives = Directives {
        escape: '\\',
        seen: Vec::new(),
        over: false,
    };
    let mut lines = Vec::new();
    let mut raw = text
        .split_inclusive('\n')
        .map(|line| line.trim_end_matches(['\r', '\n']))
        .enumerate();
    while let Some((index, first)) = raw.next() {
        let number = index + 1;
        let first = first.trim_start();
        directives.look_at(first, number)?;
        if first.starts_with('#') || first.is_empty() {
            continue;
        }
        let (part, mut ends) = continued(first, directives.escape);
        let mut joined = part.to_owned();
        while !ends {
            let Some((_, next)) = raw.next() else { break };
            let trimmed = next.trim_start();
            if trimmed.starts_with('#') || trimmed.is_empty() {
                continue;
            }
            let (part, end) = continued(next, directives.escape);
            joined.push_str(part);
            ends = end;
        }
        let line = Line { number, text: joined };
        for ending in heredocs(&line, directives.escape)? {
            if !raw.any(|(_, line)| ending.ends(line)) {
                return Err(SyntaxFault::new(
                    number,
                    format!("the here-document {} does not end", ending.name),
                ));
            }
        }
        lines.push(line);
    }
    if lines.is_empty() {
        return Err(SyntaxFault::new(1, "the Dockerfile has no instructions"));
    }
    Ok(Lines {
        escape: directives.escape,
        lines,
    })
}

/// The comments at the top that are more than comments.
struct Directives {
    escape: char,
    seen: Vec<String>,
    over: bool,
}

impl Directives {
    fn look_at(&mut self, line: &str, number: usize) -> Result<(), SyntaxFault> {
        if self.over {
            return Ok(());
        }
        let Some((name, value)) = line.strip_prefix('#').and_then(syntax::parse) else {
            self.over = true;
            return Ok(());
        };
        if name == "escape" {
            self.escape = match value {
                "\\" => '\\',
                "`" => '`',
                _ => {
                    return Err(SyntaxFault::new(
                        number,
                        format!("{value} cannot be the escape character"),
                    ));
                }
            };
        }
        if self.seen.contains(&name) {
            return Err(SyntaxFault::new(
                number,
                format!("there is more than one directive {name}"),
            ));
        }
        self.seen.push(name);
        Ok(())
    }
}

/// A line without the character by which it goes on, and whether it ends here. One that is escaped itself does not
/// continue it.
fn continued(line: &str, escape: char) -> (&str, bool) {
    match line.trim_end_matches([' ', '\t']).strip_suffix(escape) {
        Some(rest) if !rest.ends_with(escape) => (rest, false),
        _ => (line, true),
    }
}

struct Heredoc {
    name: String,
    /// Written as `<<-`: tabs go before its end.
    chomp: bool,
}

impl Heredoc {
    fn ends(&self, line: &str) -> bool {
        let line = if self.chomp {
            line.trim_start_matches('\t')
        } else {
            line
        };
        line == self.name
    }
}

/// The here-documents that follow a line.
fn heredocs(line: &Line, escape: char) -> Result<Vec<Heredoc>, SyntaxFault> {
    if !line.text.contains("<<") || !instruction::may_have_heredocs(&line.text, escape) {
        return Ok(Vec::new());
    }
    // Here the escape character is always a backslash.
    let lexer = Lexer {
        raw_quotes: true,
        raw_escapes: true,
        keep_unset: true,
        ..Lexer::new('\\')
    };
    let words = lexer.words(&line.text, &lexer::NoVariables).unwrap_or_default();
    let fault = |what| SyntaxFault::new(line.number, what);
    words
        .iter()
        .filter_map(|word| heredoc(word).transpose())
        .collect::<Result<_, _>>()
        .map_err(fault)
}

/// Whether a word of COPY or ADD stands for a here-document.
pub fn is_heredoc(word: &str) -> bool {
    matches!(heredoc(word), Ok(Some(_)))
}

fn heredoc(word: &str) -> Result<Option<Heredoc>, String> {
    let word = word.trim_start_matches(|c: char| c.is_ascii_digit());
    let Some(word) = word.strip_prefix("<<") else {
        return Ok(None);
    };
    let (chomp, word) = match word.strip_prefix('-') {
        Some(word) => (true, word),
        None => (false, word),
    };
    let word = word.trim_start_matches([' ', '\t', '\n', '\r', '\u{c}']);
    if word.is_empty() || word.contains('<') {
        return Ok(None);
    }
    let lexer = Lexer {
        keep_unset: true,
        ..Lexer::new('\\')
    };
    let mut names = lexer.words(word, &lexer::NoVariables)?;
    Ok(match (names.pop(), names.is_empty()) {
        (Some(name), true) => Some(Heredoc { name, chomp }),
        _ => None,
    })
}
