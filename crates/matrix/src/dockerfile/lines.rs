//! Splits a Dockerfile into logical lines: removes comments, joins continued lines, skips here-documents (BuildKit's
//! parser/parser.go).

use super::error::{DockerfileError, DockerfileErrorKind};
use super::heredoc::Heredoc;
use super::instruction::{self, LogicalLine};
use super::lexer::{self, Lexer};
use super::syntax;

#[derive(Debug)]
pub struct LogicalLines {
    /// `\`, or a backquote if a directive sets it.
    pub escape: char,
    pub lines: Vec<LogicalLine>,
}

/// Splits the text of a Dockerfile.
pub fn split(text: &str) -> Result<LogicalLines, DockerfileError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut directives = Directives {
        escape: '\\',
        seen: Vec::new(),
        ended: false,
    };
    let mut lines = Vec::new();
    let mut raw = text
        .split_inclusive('\n')
        .map(|line| line.trim_end_matches(['\r', '\n']))
        .enumerate();
    while let Some((index, first)) = raw.next() {
        let number = index + 1;
        let first = first.trim_start();
        directives.parse_line(first, number)?;
        if first.starts_with('#') || first.is_empty() {
            continue;
        }
        let (part, mut ends) = continuation(first, directives.escape);
        let mut joined = part.to_owned();
        while !ends {
            let Some((_, next)) = raw.next() else { break };
            let trimmed = next.trim_start();
            if trimmed.starts_with('#') || trimmed.is_empty() {
                continue;
            }
            let (part, end) = continuation(next, directives.escape);
            joined.push_str(part);
            ends = end;
        }
        let line = LogicalLine { number, text: joined };
        for ending in heredocs(&line, directives.escape)? {
            if !raw.any(|(_, line)| ending.ends(line)) {
                return Err(DockerfileError::new(
                    number,
                    DockerfileErrorKind::UnterminatedHeredoc(ending.name),
                ));
            }
        }
        lines.push(line);
    }
    if lines.is_empty() {
        return Err(DockerfileError::new(1, DockerfileErrorKind::Empty));
    }
    Ok(LogicalLines {
        escape: directives.escape,
        lines,
    })
}

/// The parser directives in the comments at the top of the file.
struct Directives {
    escape: char,
    seen: Vec<String>,
    ended: bool,
}

impl Directives {
    fn parse_line(&mut self, line: &str, number: usize) -> Result<(), DockerfileError> {
        if self.ended {
            return Ok(());
        }
        let Some((name, value)) = line.strip_prefix('#').and_then(syntax::parse_directive) else {
            self.ended = true;
            return Ok(());
        };
        if name == "escape" {
            self.escape = match value {
                "\\" => '\\',
                "`" => '`',
                _ => {
                    return Err(DockerfileError::new(
                        number,
                        DockerfileErrorKind::InvalidEscape(value.to_owned()),
                    ));
                }
            };
        }
        if self.seen.contains(&name) {
            return Err(DockerfileError::new(
                number,
                DockerfileErrorKind::DuplicateDirective(name),
            ));
        }
        self.seen.push(name);
        Ok(())
    }
}

/// Returns a line without its continuation character, and whether the instruction ends here. An escaped continuation
/// character does not continue the line.
fn continuation(line: &str, escape: char) -> (&str, bool) {
    match line.trim_end_matches([' ', '\t']).strip_suffix(escape) {
        Some(rest) if !rest.ends_with(escape) => (rest, false),
        _ => (line, true),
    }
}

/// Returns the here-documents that follow a line.
fn heredocs(line: &LogicalLine, escape: char) -> Result<Vec<Heredoc>, DockerfileError> {
    if !line.text.contains("<<") || !instruction::may_have_heredocs(&line.text, escape) {
        return Ok(Vec::new());
    }
    // BuildKit always uses a backslash as escape character here.
    let lexer = Lexer {
        raw_quotes: true,
        raw_escapes: true,
        keep_unset: true,
        ..Lexer::new('\\')
    };
    let words = lexer.words(&line.text, &lexer::NoVariables).unwrap_or_default();
    words
        .iter()
        .filter_map(|word| Heredoc::parse(word).transpose())
        .collect::<Result<_, _>>()
        .map_err(DockerfileErrorKind::at(line.number))
}
