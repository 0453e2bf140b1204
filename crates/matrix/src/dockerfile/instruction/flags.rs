//! The flags of an instruction (BuildKit's parser/split_command.go and instructions/bflag.go).

use crate::dockerfile::error::DockerfileErrorKind;

/// The flags of a line that were not yet taken.
#[derive(Debug)]
pub struct Flags(Vec<Flag>);

#[derive(Debug)]
struct Flag {
    name: String,
    value: Option<String>,
}

impl Flags {
    /// Splits the words that start with `--` off a line, and removes quotes and escapes. BuildKit decodes each byte as one
    /// character, so that a name with an umlaut in `--exclude` matches no file; this does the same.
    pub fn split(line: &str, escape: char) -> (Flags, String) {
        let bytes = line.as_bytes();
        let mut flags = Vec::new();
        let mut at = 0;
        loop {
            while bytes
                .get(at)
                .is_some_and(|byte| char::from(*byte).is_whitespace())
            {
                at += 1;
            }
            if !bytes.get(at..).is_some_and(|rest| rest.starts_with(b"--")) {
                break;
            }
            let (word, end) = word(bytes, at, escape);
            at = end;
            if word == "--" {
                break;
            }
            flags.push(Flag::new(&word));
        }
        let rest = bytes.get(at..).unwrap_or_default();
        (Flags(flags), String::from_utf8_lossy(rest).into_owned())
    }

    /// Takes the values of a flag that may be repeated.
    pub fn all(&mut self, name: &str) -> Result<Vec<String>, DockerfileErrorKind> {
        let found: Vec<Flag> = self.0.extract_if(.., |flag| flag.name == name).collect();
        let value = |flag: Flag| {
            flag.value
                .ok_or_else(|| DockerfileErrorKind::FlagWithoutValue(name.to_owned()))
        };
        found.into_iter().map(value).collect()
    }

    /// Takes the value of a flag.
    pub fn one(&mut self, name: &str) -> Result<Option<String>, DockerfileErrorKind> {
        let mut values = self.all(name)?;
        match (values.pop(), values.is_empty()) {
            (_, false) => Err(DockerfileErrorKind::DuplicateFlag(name.to_owned())),
            (value, _) => Ok(value),
        }
    }

    /// Takes a flag that is true or false.
    pub fn switch(&mut self, name: &str) -> Result<bool, DockerfileErrorKind> {
        for flag in &mut self.0 {
            if flag.name == name && flag.value.is_none() {
                flag.value = Some("true".into());
            }
        }
        match self.one(name)?.map(|value| value.to_lowercase()).as_deref() {
            Some("true") => Ok(true),
            Some("false") | None => Ok(false),
            Some(value) => Err(DockerfileErrorKind::InvalidSwitch {
                name: name.to_owned(),
                value: value.to_owned(),
            }),
        }
    }

    /// Fails if unknown flags remain.
    pub fn finish(self) -> Result<(), DockerfileErrorKind> {
        match self.0.first() {
            Some(flag) => Err(DockerfileErrorKind::UnknownFlag(flag.name.clone())),
            None => Ok(()),
        }
    }
}

impl Flag {
    fn new(word: &str) -> Flag {
        let word = word.strip_prefix("--").unwrap_or(word);
        match word.split_once('=') {
            Some((name, value)) => Flag {
                name: name.into(),
                value: Some(value.into()),
            },
            None => Flag {
                name: word.into(),
                value: None,
            },
        }
    }
}

/// Returns a word without its quotes and escapes, and where it ends.
fn word(bytes: &[u8], start: usize, escape: char) -> (String, usize) {
    let mut word = String::new();
    let mut quote = None;
    let mut at = start;
    while let Some(byte) = bytes.get(at) {
        let c = char::from(*byte);
        match quote {
            None if c.is_whitespace() => break,
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ if c == escape => {
                at += 1;
                word.extend(bytes.get(at).map(|byte| char::from(*byte)));
            }
            _ => word.push(c),
        }
        at += 1;
    }
    (word, at)
}
