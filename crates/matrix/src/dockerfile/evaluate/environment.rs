//! The variables of a stage.

use super::super::BuildParams;
use super::super::error::{DockerfileError, DockerfileErrorKind};
use super::super::instruction::Instruction;
use super::super::lexer::{Lexer, VariableValues, Variables};
use super::super::stages::Dockerfile;
use super::super::unresolved::UNRESOLVED;
use super::platform;

/// The default `PATH`, BuildKit's `DefaultPathEnvUnix`.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The most bytes of a value. Longer values count as unknown: no source path is as long.
const MAX_BYTES: usize = 4096;

/// The variables of a stage.
#[derive(Debug, Clone)]
pub struct StageEnvironment {
    values: VariableValues,
    /// The variables that ENV set, which the image keeps.
    image_values: VariableValues,
    /// Whether an image from a registry may set other variables.
    from_registry: bool,
}

impl Default for StageEnvironment {
    /// Returns the variables of an image from a registry.
    fn default() -> StageEnvironment {
        StageEnvironment {
            values: VariableValues::new(),
            image_values: VariableValues::new(),
            from_registry: true,
        }
    }
}

impl StageEnvironment {
    /// Returns the variables of `scratch`.
    pub fn empty() -> StageEnvironment {
        let values = VariableValues::from([("PATH".to_owned(), PATH.to_owned())]);
        StageEnvironment {
            image_values: values.clone(),
            values,
            from_registry: false,
        }
    }

    /// Returns the variables of a stage that is based on this one. It inherits arguments as well, but the variables of the
    /// image take precedence (`dispatchStages`), and an image from a registry may set any variable.
    pub fn inherited(&self) -> StageEnvironment {
        let mut values = if self.from_registry {
            VariableValues::new()
        } else {
            self.values.clone()
        };
        values.extend(self.image_values.clone());
        StageEnvironment {
            values,
            image_values: self.image_values.clone(),
            from_registry: self.from_registry,
        }
    }

    pub fn set_argument(&mut self, name: String, value: String) {
        self.values.insert(name, limit_length(value));
    }

    pub fn set_variable(&mut self, name: String, value: String) {
        let value = limit_length(value);
        self.image_values.insert(name.clone(), value.clone());
        self.values.insert(name, value);
    }
}

impl Variables for StageEnvironment {
    fn get(&self, name: &str) -> Option<&str> {
        match self.values.get(name) {
            Some(value) => Some(value),
            None => self.from_registry.then_some(UNKNOWN),
        }
    }
}

/// [`UNRESOLVED`] as a string.
const UNKNOWN: &str = "\u{ffff}";

fn limit_length(value: String) -> String {
    if value.len() > MAX_BYTES {
        UNRESOLVED.to_string()
    } else {
        value
    }
}

/// Returns the variables before the first FROM (`defaultArgs` and `buildMetaArgs`).
pub fn globals(
    file: &Dockerfile,
    params: &BuildParams<'_>,
    platform: Option<&str>,
    lexer: &Lexer,
) -> Result<VariableValues, DockerfileError> {
    let mut values = platform::arguments(platform);
    let last = file.stages.last().and_then(|stage| stage.name.as_deref());
    let target = params
        .stage
        .filter(|stage| !stage.is_empty())
        .or(last)
        .unwrap_or("default");
    values.insert("TARGETSTAGE".to_owned(), target.to_owned());
    for (name, value) in &mut values {
        if let Some(given) = params.args.get(name) {
            value.clone_from(given);
        }
    }
    for statement in &file.arguments {
        let Instruction::Arg(arguments) = &statement.instruction else {
            continue;
        };
        for (name, default) in arguments {
            let value = match (params.args.get(name), default) {
                (Some(given), _) => given.clone(),
                (None, Some(default)) => lexer
                    .word(default, &values)
                    .map_err(DockerfileErrorKind::at(statement.line))?,
                (None, None) => continue,
            };
            values.insert(name.clone(), limit_length(value));
        }
    }
    Ok(values)
}
