//! Quotes, escapes and variables in a word of a Dockerfile (BuildKit's shell/lex.go).
//!
//! A value that is not known is a `HOLE` in the text, and so is whatever is made of it.

mod pattern;
mod variable;

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;

/// Stands where the value of a variable is not known. A noncharacter of Unicode: no text has it.
pub const HOLE: char = '\u{ffff}';

/// `${a:-${b:-…}}` nests no deeper; BuildKit's own stack would take more, nobody's Dockerfile does.
const DEEPEST: usize = 50;

/// What variables may come to in one word, in bytes: each may hold the one before twice.
const LONGEST: usize = 1 << 20;

/// Where variables come from.
pub trait Variables {
    /// `None` when it is not set, a `HOLE` when it may be.
    fn get(&self, name: &str) -> Option<&str>;
}

#[derive(Debug)]
pub struct NoVariables;

impl Variables for NoVariables {
    fn get(&self, _: &str) -> Option<&str> {
        None
    }
}

impl Variables for BTreeMap<String, String> {
    fn get(&self, name: &str) -> Option<&str> {
        BTreeMap::get(self, name).map(String::as_str)
    }
}

/// How a word is read.
#[derive(Debug, Clone)]
pub struct Lexer {
    pub escape: char,
    /// Quotes stay.
    pub raw_quotes: bool,
    /// Escape characters stay.
    pub raw_escapes: bool,
    /// A variable that is not set stays as it is written.
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

    /// The word with its variables replaced; an error when it is malformed.
    pub fn word(&self, word: &str, variables: &dyn Variables) -> Result<String, String> {
        self.scan(word, variables)
            .until(None, self.raw_escapes, false, &mut Words::default())
    }

    /// The same, split at spaces that are not quoted.
    pub fn words(&self, text: &str, variables: &dyn Variables) -> Result<Vec<String>, String> {
        let mut words = Words::default();
        self.scan(text, variables)
            .until(None, self.raw_escapes, false, &mut words)?;
        words.end();
        Ok(words.done)
    }

    fn scan<'a>(&'a self, text: &'a str, variables: &'a dyn Variables) -> Scan<'a> {
        let chars = text.chars().peekable();
        Scan {
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
struct Words {
    done: Vec<String>,
    current: String,
}

impl Words {
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

struct Scan<'a> {
    lexer: &'a Lexer,
    variables: &'a dyn Variables,
    chars: Peekable<Chars<'a>>,
    raw_escapes: bool,
    depth: usize,
    length: usize,
}

impl Scan<'_> {
    /// Up to a character, or to the end. In a pattern, an escape character inside quotes is doubled.
    fn until(
        &mut self,
        stop: Option<char>,
        raw_escapes: bool,
        in_pattern: bool,
        words: &mut Words,
    ) -> Result<String, String> {
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
            Some(stop) => Err(format!("{stop} is missing")),
            None => Ok(text),
        }
    }

    fn single_quoted(&mut self, in_pattern: bool) -> Result<String, String> {
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
        Err("a single quote is missing".into())
    }

    fn double_quoted(&mut self, in_pattern: bool) -> Result<String, String> {
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
        Err("a double quote is missing".into())
    }

    /// `<`, or the sign of a here-document with the spaces that may follow it.
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
