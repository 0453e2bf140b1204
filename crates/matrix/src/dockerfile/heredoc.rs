//! Here-documents of RUN, COPY and ADD (BuildKit's parser/parser.go, `ParseHeredoc`).

use super::error::DockerfileErrorKind;
use super::lexer::{self, Lexer};

/// A here-document that a word of an instruction begins.
#[derive(Debug)]
pub struct Heredoc {
    /// The line that ends it.
    pub name: String,
    /// Written as `<<-`: tabs before the delimiter are removed.
    chomp: bool,
}

impl Heredoc {
    /// Parses a word; `None` if it begins no here-document.
    pub fn parse(word: &str) -> Result<Option<Heredoc>, DockerfileErrorKind> {
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

    /// Returns whether a line is the end.
    pub fn ends(&self, line: &str) -> bool {
        let line = if self.chomp {
            line.trim_start_matches('\t')
        } else {
            line
        };
        line == self.name
    }
}

/// Returns whether a word of COPY or ADD is a here-document.
pub fn is_heredoc(word: &str) -> bool {
    matches!(Heredoc::parse(word), Ok(Some(_)))
}
