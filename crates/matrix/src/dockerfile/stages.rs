//! A Dockerfile as stages.

use super::SyntaxFault;
use super::instruction::{self, Instruction};
use super::lines;

#[derive(Debug)]
pub struct Dockerfile {
    pub escape: char,
    /// Before the first FROM, ARG alone.
    pub arguments: Vec<Statement>,
    /// At least one.
    pub stages: Vec<Stage>,
}

#[derive(Debug)]
pub struct Stage {
    pub line: usize,
    /// With variables.
    pub base: String,
    /// In lower case.
    pub name: Option<String>,
    pub statements: Vec<Statement>,
}

#[derive(Debug)]
pub struct Statement {
    pub line: usize,
    pub instruction: Instruction,
}

impl Stage {
    pub fn has_triggers(&self) -> bool {
        self.triggers().next().is_some()
    }

    /// What ONBUILD keeps for the stages that are based on this one.
    pub fn triggers(&self) -> impl Iterator<Item = (usize, &Instruction)> {
        self.statements
            .iter()
            .filter_map(|statement| match &statement.instruction {
                Instruction::Onbuild(trigger) => Some((statement.line, &**trigger)),
                _ => None,
            })
    }
}

pub fn parse(text: &str) -> Result<Dockerfile, SyntaxFault> {
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
            _ => return Err(SyntaxFault::new(line.number, "there is no FROM before this")),
        }
    }
    match file.stages.is_empty() {
        true => Err(SyntaxFault::new(lines.lines.len().max(1), "there is no FROM")),
        false => Ok(file),
    }
}
