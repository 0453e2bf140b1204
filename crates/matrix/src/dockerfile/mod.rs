//! What a build reads from its local contexts, from the text of its Dockerfile.
//!
//! The rules are BuildKit's (v0.34, frontend/dockerfile): each part names the file that it follows. Reading them off a
//! Dockerfile can only be as good as what stands there, so whatever depends on something else (a variable that the base
//! image may set, another frontend) counts as reading the whole context. One thing cannot be seen at all: ONBUILD
//! instructions of an image from a registry. They are supposed where the image's name holds "onbuild".

mod evaluate;
mod instruction;
mod lexer;
mod lines;
mod mount;
mod reference;
mod sources;
mod stages;
mod syntax;

use std::collections::{BTreeMap, BTreeSet};

pub use sources::Sources;

/// What a build does with a Dockerfile.
#[derive(Debug, Clone, Copy)]
pub struct Build<'a> {
    /// The last one when it is not named.
    pub stage: Option<&'a str>,
    pub args: &'a BTreeMap<String, String>,
    /// The names of its named contexts.
    pub contexts: &'a BTreeSet<String>,
    /// Those of the images that are built, as `linux/amd64`. When there are none it is the agent's own, which is not
    /// known.
    pub platforms: &'a [String],
}

/// Something that one instruction reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    pub from: Source,
    pub what: What,
    /// Of the instruction, from 1.
    pub line: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The build's context.
    Context,
    /// A named context, by the name that `Build::contexts` has for it.
    Named(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// All of it, and why.
    All(&'static str),
    Paths(Sources),
}

/// A Dockerfile that BuildKit would refuse, or one that is beyond this reader.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct SyntaxFault {
    /// From 1.
    pub line: usize,
    pub what: String,
}

impl SyntaxFault {
    fn new(line: usize, what: impl Into<String>) -> SyntaxFault {
        SyntaxFault {
            line,
            what: what.into(),
        }
    }
}

/// What the build reads, in the order of the Dockerfile; for several platforms, what any of them does.
pub fn reads(text: &str, build: &Build<'_>) -> Result<Vec<Read>, SyntaxFault> {
    if let Some(line) = syntax::other_frontend(text, build.args) {
        let why = "another Dockerfile frontend reads it";
        let named = build.contexts.iter().cloned().map(Source::Named);
        let all = |from| Read {
            from,
            what: What::All(why),
            line,
        };
        return Ok([Source::Context].into_iter().chain(named).map(all).collect());
    }
    let file = stages::parse(text)?;
    let platforms = build.platforms.iter().map(|platform| Some(platform.as_str()));
    let unknown = build.platforms.is_empty().then_some(None);
    let mut all = Vec::new();
    for platform in platforms.chain(unknown) {
        all.extend(evaluate::reads(&file, build, platform)?);
    }
    all.sort_by_key(|read| read.line);
    let mut reads: Vec<Read> = Vec::with_capacity(all.len());
    for read in all {
        // The platforms mostly agree.
        if !reads
            .iter()
            .rev()
            .take_while(|known| known.line == read.line)
            .any(|known| *known == read)
        {
            reads.push(read);
        }
    }
    Ok(reads)
}

/// Whether the Dockerfile has ONBUILD instructions: a build that has its image as a named context, and is based on it,
/// runs them over its own context.
pub fn has_triggers(text: &str) -> bool {
    stages::parse(text).is_ok_and(|file| file.stages.iter().any(stages::Stage::has_triggers))
}

#[cfg(test)]
mod tests;
