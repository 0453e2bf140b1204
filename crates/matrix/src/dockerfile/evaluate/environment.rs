//! Variables of a stage.

use std::collections::BTreeMap;

use super::super::instruction::Instruction;
use super::super::lexer::{HOLE, Lexer, Variables};
use super::super::stages::Dockerfile;
use super::super::{Build, SyntaxFault};
use super::platform;

pub type Values = BTreeMap<String, String>;

/// Where nothing else sets it, as BuildKit's `DefaultPathEnvUnix`.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Longer values, in bytes, are as good as unknown: no source is as long.
const LONGEST: usize = 4096;

/// The variables that a stage's instructions see.
#[derive(Debug, Clone)]
pub struct Environment {
    values: Values,
    /// Those of them that the image keeps: by ENV.
    of_image: Values,
    /// Whether an image from elsewhere may have set others.
    foreign: bool,
}

impl Default for Environment {
    /// That of an image from elsewhere.
    fn default() -> Environment {
        Environment {
            values: Values::new(),
            of_image: Values::new(),
            foreign: true,
        }
    }
}

impl Environment {
    /// That of `scratch`.
    pub fn empty() -> Environment {
        let values = Values::from([("PATH".to_owned(), PATH.to_owned())]);
        Environment {
            of_image: values.clone(),
            values,
            foreign: false,
        }
    }

    /// That of a stage that is based on this one: arguments too, but where the image sets a variable, it wins
    /// (`dispatchStages`). An image from elsewhere may set any.
    pub fn inherited(&self) -> Environment {
        let mut values = if self.foreign {
            Values::new()
        } else {
            self.values.clone()
        };
        values.extend(self.of_image.clone());
        Environment {
            values,
            of_image: self.of_image.clone(),
            foreign: self.foreign,
        }
    }

    pub fn set_argument(&mut self, name: String, value: String) {
        self.values.insert(name, bounded(value));
    }

    pub fn set_variable(&mut self, name: String, value: String) {
        let value = bounded(value);
        self.of_image.insert(name.clone(), value.clone());
        self.values.insert(name, value);
    }
}

impl Variables for Environment {
    fn get(&self, name: &str) -> Option<&str> {
        match self.values.get(name) {
            Some(value) => Some(value),
            None => self.foreign.then_some(UNKNOWN),
        }
    }
}

const UNKNOWN: &str = "\u{ffff}";

fn bounded(value: String) -> String {
    if value.len() > LONGEST {
        HOLE.to_string()
    } else {
        value
    }
}

/// What is known before the first FROM (`defaultArgs` and `buildMetaArgs`).
pub fn globals(
    file: &Dockerfile,
    build: &Build<'_>,
    platform: Option<&str>,
    lexer: &Lexer,
) -> Result<Values, SyntaxFault> {
    let mut values = platform::arguments(platform);
    let last = file.stages.last().and_then(|stage| stage.name.as_deref());
    let target = build
        .stage
        .filter(|stage| !stage.is_empty())
        .or(last)
        .unwrap_or("default");
    values.insert("TARGETSTAGE".to_owned(), target.to_owned());
    for (name, value) in &mut values {
        if let Some(given) = build.args.get(name) {
            value.clone_from(given);
        }
    }
    for statement in &file.arguments {
        let Instruction::Arg(arguments) = &statement.instruction else {
            continue;
        };
        for (name, default) in arguments {
            let value = match (build.args.get(name), default) {
                (Some(given), _) => given.clone(),
                (None, Some(default)) => lexer
                    .word(default, &values)
                    .map_err(|what| SyntaxFault::new(statement.line, what))?,
                (None, None) => continue,
            };
            values.insert(name.clone(), bounded(value));
        }
    }
    Ok(values)
}
