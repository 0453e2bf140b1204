//! A variable in a word, and what may be done with its value.

use super::{DEEPEST, HOLE, LONGEST, Scan, Words, pattern};

impl Scan<'_> {
    pub(super) fn dollar(&mut self) -> Result<String, String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err("substitutions are nested too deeply".into());
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
        if self.length > LONGEST {
            Err("the variables come to more than 1 MiB".into())
        } else {
            Ok(value)
        }
    }

    fn braced(&mut self) -> Result<String, String> {
        match self.chars.peek() {
            None => return Err("} is missing".into()),
            Some('{' | '}' | ':') => return Err("bad substitution".into()),
            Some(_) => (),
        }
        let name = self.name();
        let value = self.variables.get(&name);
        let mut operator = self.chars.next().ok_or("} is missing")?;
        if operator == '}' {
            return Ok(match value {
                Some(value) => value.to_owned(),
                None if self.lexer.keep_unset => format!("${{{name}}}"),
                None => String::new(),
            });
        }
        if operator == '/' {
            return self.replaced(&name, value);
        }
        let empty_is_unset = operator == ':';
        if empty_is_unset {
            operator = self.chars.next().ok_or("} is missing")?;
        }
        let trims = matches!(operator, '#' | '%');
        if !matches!(operator, '+' | '-' | '?' | '#' | '%') || (trims && empty_is_unset) {
            return Err(format!(
                "the modifier {operator} is not supported in a substitution"
            ));
        }
        let word = self.until(Some('}'), trims, trims, &mut Words::default())?;
        if value.is_none() && self.lexer.keep_unset {
            let colon = if empty_is_unset { ":" } else { "" };
            return Ok(format!("${{{name}{colon}{operator}{word}}}"));
        }
        // Nothing but holes may come to nothing, or not be set.
        if value.is_some_and(|value| !value.is_empty() && value.chars().all(|c| c == HOLE)) {
            return Ok(HOLE.to_string());
        }
        let set = value.filter(|value| !(empty_is_unset && value.is_empty()));
        match operator {
            '-' => Ok(set.map_or(word, str::to_owned)),
            '+' => Ok(set.map_or_else(String::new, |_| word)),
            '?' if word.is_empty() => set.map(str::to_owned).ok_or(format!("{name} has no value")),
            '?' => set.map(str::to_owned).ok_or(format!("{name}: {word}")),
            _ => pattern::trimmed(operator, &word, value.unwrap_or_default()),
        }
    }

    fn replaced(&mut self, name: &str, value: Option<&str>) -> Result<String, String> {
        let all = self.chars.next_if_eq(&'/').is_some();
        let pattern = self.until(Some('/'), true, true, &mut Words::default())?;
        let replacement = self.until(Some('}'), true, false, &mut Words::default())?;
        if value.is_none() && self.lexer.keep_unset {
            return Ok(format!("${{{name}/{pattern}/{replacement}}}"));
        }
        pattern::replaced(all, &pattern, &replacement, value.unwrap_or_default())
    }

    /// Of a variable: letters, digits and `_`; or digits alone; or one special parameter.
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
