//! Expands quotes, escapes and variables in a word of a Dockerfile (BuildKit's shell/lex.go).
//!
//! An unknown value, and any value computed from it, contains the character [`UNRESOLVED`](super::unresolved::UNRESOLVED).

mod pattern;
mod variable;

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;

use super::error::DockerfileErrorKind;

/// The deepest nesting of `${a:-${b:-…}}`. BuildKit allows more, but no real Dockerfile needs it.
const MAX_DEPTH: usize = 50;

/// The most bytes that the variables of one word expand to. Without a limit the size could double with each variable.
const MAX_BYTES: usize = 1 << 20;

/// The values of variables by their names.
pub type VariableValues = BTreeMap<String, String>;

/// The values of variables.
pub trait Variables {
    /// Returns the value: `None` if it is not set, [`UNRESOLVED`](super::unresolved::UNRESOLVED) if it may be set.
    fn get(&self, name: &str) -> Option<&str>;
}

#[derive(Debug)]
pub struct NoVariables;

impl Variables for NoVariables {
    fn get(&self, _: &str) -> Option<&str> {
        None
    }
}

impl Variables for VariableValues {
    fn get(&self, name: &str) -> Option<&str> {
        BTreeMap::get(self, name).map(String::as_str)
    }
}

/// How words are expanded.
#[derive(Debug, Clone)]
pub struct Lexer {
    pub escape: char,
    /// Keeps quotes.
    pub raw_quotes: bool,
    /// Keeps escape characters.
    pub raw_escapes: bool,
    /// Keeps a reference to an unset variable as written.
    pub keep_unset: bool,
}

impl Lexer {
    pub fn new(escape: char) -> Lexer {
        Lexer {
            escape,
            raw_quotes: false,
            raw_escapes: false,
            keep_unset: false,
        }
    }

    /// Expands a word.
    pub fn word(&self, word: &str, variables: &dyn Variables) -> Result<String, DockerfileErrorKind> {
        self.scan(word, variables)
            .until(None, self.raw_escapes, false, &mut WordBuffer::default())
    }

    /// Expands a text and splits it at unquoted spaces.
    pub fn words(&self, text: &str, variables: &dyn Variables) -> Result<Vec<String>, DockerfileErrorKind> {
        let mut words = WordBuffer::default();
        self.scan(text, variables)
            .until(None, self.raw_escapes, false, &mut words)?;
        words.end();
        Ok(words.done)
    }

    fn scan<'a>(&'a self, text: &'a str, variables: &'a dyn Variables) -> WordScanner<'a> {
        let chars = text.chars().peekable();
        WordScanner {
            lexer: self,
            variables,
            chars,
            raw_escapes: self.raw_escapes,
            depth: 0,
            length: 0,
        }
    }
}

#[derive(Default)]
struct WordBuffer {
    done: Vec<String>,
    current: String,
}

impl WordBuffer {
    fn push(&mut self, c: char) {
        if c.is_whitespace() {
            self.end()
        } else {
            self.current.push(c)
        }
    }

    fn end(&mut self) {
        if !self.current.is_empty() {
            self.done.push(std::mem::take(&mut self.current));
        }
    }
}

struct WordScanner<'a> {
    lexer: &'a Lexer,
    variables: &'a dyn Variables,
    chars: Peekable<Chars<'a>>,
    raw_escapes: bool,
    depth: usize,
    length: usize,
}

impl WordScanner<'_> {
    /// Scans up to a character, or to the end. In a pattern, an escape character inside quotes is doubled.
    fn until(
        &mut self,
        stop: Option<char>,
        raw_escapes: bool,
        in_pattern: bool,
        words: &mut WordBuffer,
    ) -> Result<String, DockerfileErrorKind> {
        let before = std::mem::replace(&mut self.raw_escapes, raw_escapes);
        let mut text = String::new();
        while let Some(&c) = self.chars.peek() {
            if stop == Some(c) {
                self.chars.next();
                self.raw_escapes = before;
                return Ok(text);
            }
            match c {
                '\'' | '"' | '<' => {
                    let part = match c {
                        '\'' => self.single_quoted(in_pattern)?,
                        '"' => self.double_quoted(in_pattern)?,
                        _ => self.less_than(),
                    };
                    words.current.push_str(&part);
                    text.push_str(&part);
                }
                '$' => {
                    let part = self.dollar()?;
                    part.chars().for_each(|c| words.push(c));
                    text.push_str(&part);
                }
                c if c == self.lexer.escape => {
                    self.chars.next();
                    if self.raw_escapes {
                        words.current.push(c);
                        text.push(c);
                    }
                    let Some(escaped) = self.chars.next() else { break };
                    words.current.push(escaped);
                    text.push(escaped);
                }
                c => {
                    self.chars.next();
                    words.push(c);
                    text.push(c);
                }
            }
        }
        match stop {
            Some(stop) => Err(DockerfileErrorKind::MissingCharacter(stop)),
            None => Ok(text),
        }
    }

    fn single_quoted(&mut self, in_pattern: bool) -> Result<String, DockerfileErrorKind> {
        let mut text = String::new();
        text.extend(self.chars.next().filter(|_| self.lexer.raw_quotes));
        for c in self.chars.by_ref() {
            if c == '\'' {
                text.extend(self.lexer.raw_quotes.then_some(c));
                return Ok(text);
            }
            if in_pattern && c == self.lexer.escape {
                text.push(c);
            }
            text.push(c);
        }
        Err(DockerfileErrorKind::UnterminatedSingleQuote)
    }

    fn double_quoted(&mut self, in_pattern: bool) -> Result<String, DockerfileErrorKind> {
        let mut text = String::new();
        text.extend(self.chars.next().filter(|_| self.lexer.raw_quotes));
        while let Some(&c) = self.chars.peek() {
            if c == '$' {
                text.push_str(&self.dollar()?);
                continue;
            }
            self.chars.next();
            if c == '"' {
                text.extend(self.lexer.raw_quotes.then_some(c));
                return Ok(text);
            }
            if c != self.lexer.escape {
                text.push(c);
                continue;
            }
            match self.chars.peek() {
                None => (),
                Some(&next) if next == '"' || next == '$' || next == self.lexer.escape => {
                    text.extend(self.raw_escapes.then_some(c));
                    text.push(next);
                    self.chars.next();
                }
                Some(_) => {
                    if self.raw_escapes && (!self.lexer.raw_quotes || in_pattern) {
                        text.push(c);
                    }
                    text.push(c);
                }
            }
        }
        Err(DockerfileErrorKind::UnterminatedDoubleQuote)
    }

    /// Scans `<`, or `<<` with the spaces that may follow it in a here-document.
    fn less_than(&mut self) -> String {
        self.chars.next();
        let mut text = String::from("<");
        if self.chars.next_if_eq(&'<').is_some() {
            text.push('<');
            while let Some(space) = self.chars.next_if(|c| matches!(c, '\t' | '\r' | ' ')) {
                text.push(space);
            }
        }
        text
    }
}
