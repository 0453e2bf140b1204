//! Splits the arguments of an instruction into words.

/// Returns whether BuildKit splits arguments at the character.
pub fn is_space(c: char) -> bool {
    matches!(c, '\t' | '\u{b}' | '\u{c}' | '\r' | ' ')
}

pub fn by_spaces(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_space).filter(|word| !word.is_empty())
}

/// Splits the arguments of ARG and ENV at spaces that are neither quoted nor escaped, and keeps quotes and escapes
/// (`parseWords` in parser/line_parsers.go).
pub fn quoted(text: &str, escape: char) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote: Option<char> = None;
    // An empty pair of quotes is a word.
    let mut is_word = false;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match quote {
            None if c.is_whitespace() => {
                if is_word || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                is_word = false;
                continue;
            }
            None if c == '\'' || c == '"' => {
                quote = Some(c);
                is_word = true;
            }
            Some(open) if c == open => quote = None,
            _ => (),
        }
        if c == escape && quote != Some('\'') {
            // At the end of the line it is dropped.
            let Some(escaped) = chars.next() else { break };
            word.push(c);
            word.push(escaped);
        } else {
            word.push(c);
        }
    }
    if is_word || !word.is_empty() {
        words.push(word);
    }
    words
}
