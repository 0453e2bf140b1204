//! Expands a variable in a word, with its modifiers.

use super::super::unresolved::UNRESOLVED;
use super::{MAX_BYTES, MAX_DEPTH, WordBuffer, WordScanner, pattern};
use crate::dockerfile::error::DockerfileErrorKind;

impl WordScanner<'_> {
    pub(super) fn dollar(&mut self) -> Result<String, DockerfileErrorKind> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(DockerfileErrorKind::SubstitutionTooDeep);
        }
        self.chars.next();
        let value = if self.chars.next_if_eq(&'{').is_some() {
            self.braced()?
        } else {
            let name = self.name();
            match self.variables.get(&name) {
                _ if name.is_empty() => "$".to_owned(),
                Some(value) => value.to_owned(),
                None if self.lexer.keep_unset => format!("${name}"),
                None => String::new(),
            }
        };
        self.depth -= 1;
        self.length += value.len();
        if self.length > MAX_BYTES {
            Err(DockerfileErrorKind::SubstitutionTooLong)
        } else {
            Ok(value)
        }
    }

    fn braced(&mut self) -> Result<String, DockerfileErrorKind> {
        match self.chars.peek() {
            None => return Err(DockerfileErrorKind::MissingCharacter('}')),
            Some('{' | '}' | ':') => return Err(DockerfileErrorKind::BadSubstitution),
            Some(_) => (),
        }
        let name = self.name();
        let value = self.variables.get(&name);
        let mut operator = self
            .chars
            .next()
            .ok_or(DockerfileErrorKind::MissingCharacter('}'))?;
        if operator == '}' {
            return Ok(match value {
                Some(value) => value.to_owned(),
                None if self.lexer.keep_unset => format!("${{{name}}}"),
                None => String::new(),
            });
        }
        if operator == '/' {
            return self.replacement(&name, value);
        }
        let empty_is_unset = operator == ':';
        if empty_is_unset {
            operator = self
                .chars
                .next()
                .ok_or(DockerfileErrorKind::MissingCharacter('}'))?;
        }
        let trims = matches!(operator, '#' | '%');
        if !matches!(operator, '+' | '-' | '?' | '#' | '%') || (trims && empty_is_unset) {
            return Err(DockerfileErrorKind::UnsupportedModifier(operator));
        }
        let word = self.until(Some('}'), trims, trims, &mut WordBuffer::default())?;
        if value.is_none() && self.lexer.keep_unset {
            let colon = if empty_is_unset { ":" } else { "" };
            return Ok(format!("${{{name}{colon}{operator}{word}}}"));
        }
        // A value that is entirely unknown may be empty or unset.
        if value.is_some_and(|value| !value.is_empty() && value.chars().all(|c| c == UNRESOLVED)) {
            return Ok(UNRESOLVED.to_string());
        }
        let set = value.filter(|value| !(empty_is_unset && value.is_empty()));
        match operator {
            '-' => Ok(set.map_or(word, str::to_owned)),
            '+' => Ok(set.map_or_else(String::new, |_| word)),
            '?' if word.is_empty() => set
                .map(str::to_owned)
                .ok_or(DockerfileErrorKind::VariableNotSet(name)),
            '?' => set
                .map(str::to_owned)
                .ok_or(DockerfileErrorKind::VariableRequired { name, message: word }),
            _ => pattern::trim(operator, &word, value.unwrap_or_default()),
        }
    }

    fn replacement(&mut self, name: &str, value: Option<&str>) -> Result<String, DockerfileErrorKind> {
        let all = self.chars.next_if_eq(&'/').is_some();
        let pattern = self.until(Some('/'), true, true, &mut WordBuffer::default())?;
        let replacement = self.until(Some('}'), true, false, &mut WordBuffer::default())?;
        if value.is_none() && self.lexer.keep_unset {
            return Ok(format!("${{{name}/{pattern}/{replacement}}}"));
        }
        pattern::replace(all, &pattern, &replacement, value.unwrap_or_default())
    }

    /// Scans a variable's name: letters, digits and `_`; or digits only; or one special parameter.
    fn name(&mut self) -> String {
        let mut name = String::new();
        let Some(&first) = self.chars.peek() else {
            return name;
        };
        if first.is_numeric() {
            while let Some(c) = self.chars.next_if(|c| c.is_numeric()) {
                name.push(c);
            }
        } else if matches!(first, '@' | '*' | '#' | '?' | '-' | '$' | '!') {
            name.extend(self.chars.next());
        } else {
            while let Some(c) = self.chars.next_if(|c| c.is_alphanumeric() || *c == '_') {
                name.push(c);
            }
        }
        name
    }
}
