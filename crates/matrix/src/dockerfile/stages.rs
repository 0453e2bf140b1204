//! Parses a Dockerfile into stages.

use super::error::{DockerfileError, DockerfileErrorKind};
use super::instruction::{self, Instruction};
use super::lines;

/// A parsed Dockerfile.
#[derive(Debug)]
pub struct Dockerfile {
    pub escape: char,
    /// The ARG instructions before the first FROM.
    pub arguments: Vec<Statement>,
    /// At least one.
    pub stages: Vec<Stage>,
}

/// A stage: a FROM and the instructions after it.
#[derive(Debug)]
pub struct Stage {
    pub line: usize,
    /// The image or stage, with variables not yet expanded.
    pub base: String,
    /// In lower case.
    pub name: Option<String>,
    pub statements: Vec<Statement>,
}

/// An instruction with its line.
#[derive(Debug)]
pub struct Statement {
    pub line: usize,
    pub instruction: Instruction,
}

impl Stage {
    pub fn has_onbuild(&self) -> bool {
        self.onbuild_instructions().next().is_some()
    }

    /// Returns the ONBUILD instructions, which run in stages that are based on this one.
    pub fn onbuild_instructions(&self) -> impl Iterator<Item = (usize, &Instruction)> {
        self.statements
            .iter()
            .filter_map(|statement| match &statement.instruction {
                Instruction::Onbuild(trigger) => Some((statement.line, &**trigger)),
                _ => None,
            })
    }
}

/// Parses the text of a Dockerfile.
pub fn parse(text: &str) -> Result<Dockerfile, DockerfileError> {
    let lines = lines::split(text)?;
    let mut file = Dockerfile {
        escape: lines.escape,
        arguments: Vec::new(),
        stages: Vec::new(),
    };
    for line in &lines.lines {
        let statement = Statement {
            line: line.number,
            instruction: instruction::parse(line, lines.escape)?,
        };
        match (statement.instruction, file.stages.last_mut()) {
            (Instruction::From { base, name }, _) => {
                file.stages.push(Stage {
                    line: line.number,
                    base,
                    name,
                    statements: Vec::new(),
                });
            }
            (instruction, Some(stage)) => stage.statements.push(Statement {
                line: line.number,
                instruction,
            }),
            (instruction @ Instruction::Arg(_), None) => {
                file.arguments.push(Statement {
                    line: line.number,
                    instruction,
                });
            }
            _ => return Err(DockerfileError::new(line.number, DockerfileErrorKind::BeforeFrom)),
        }
    }
    match file.stages.is_empty() {
        true => Err(DockerfileError::new(
            lines.lines.len().max(1),
            DockerfileErrorKind::NoFrom,
        )),
        false => Ok(file),
    }
}
