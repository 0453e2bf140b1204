//! Determines what a build reads from its local contexts, from the text of its Dockerfile.
//!
//! The rules are BuildKit's (v0.34, frontend/dockerfile): each module names the file that it follows. Whatever depends on
//! something that is not in the Dockerfile (a variable that the base image may set, another frontend) counts as reading
//! the whole context. The ONBUILD instructions of an image from a registry cannot be seen; they are assumed if the
//! image's name contains "onbuild".
//!
//! The parser is our own because the crate `parse-dockerfile` returns only the syntax, without expanding variables or
//! evaluating stages, and the result must agree with BuildKit: this one was compared with it over thousands of builds.

mod error;
mod evaluate;
mod heredoc;
mod instruction;
mod lexer;
mod lines;
mod mount;
mod reference;
mod sources;
mod stages;
mod syntax;
mod unresolved;

use std::collections::{BTreeMap, BTreeSet};

pub use error::{DockerfileError, DockerfileErrorKind};
pub use sources::SourcePaths;

/// The parameters of a build.
#[derive(Debug, Clone, Copy)]
pub struct BuildParams<'a> {
    /// The target stage; the last one if it is not set.
    pub stage: Option<&'a str>,
    pub args: &'a BTreeMap<String, String>,
    /// The names of the named contexts.
    pub contexts: &'a BTreeSet<String>,
    /// The platforms to build, as `linux/amd64`. If there are none, the build is for the agent's own platform, which is
    /// unknown here.
    pub platforms: &'a [String],
}

/// What one instruction reads from a context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextRead {
    pub context: ContextName,
    pub scope: Scope,
    /// The line of the instruction, from 1.
    pub line: usize,
}

/// The context that an instruction reads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ContextName {
    /// The build's main context.
    Main,
    /// A named context, by its name in [`BuildParams::contexts`].
    Named(String),
}

/// How much of a context an instruction reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// The whole context, and the reason.
    All(&'static str),
    Paths(SourcePaths),
}

/// Returns what the build reads, in the order of the Dockerfile. For several platforms it is what any of them reads.
pub fn context_reads(text: &str, params: &BuildParams<'_>) -> Result<Vec<ContextRead>, DockerfileError> {
    if let Some(line) = syntax::other_frontend(text, params.args) {
        let reason = "another Dockerfile frontend parses the file";
        let named = params.contexts.iter().cloned().map(ContextName::Named);
        let all = |context| ContextRead {
            context,
            scope: Scope::All(reason),
            line,
        };
        return Ok([ContextName::Main].into_iter().chain(named).map(all).collect());
    }
    let file = stages::parse(text)?;
    let platforms = params.platforms.iter().map(|platform| Some(platform.as_str()));
    let unknown = params.platforms.is_empty().then_some(None);
    let mut all = Vec::new();
    for platform in platforms.chain(unknown) {
        all.extend(evaluate::context_reads(&file, params, platform)?);
    }
    all.sort_by_key(|read| read.line);
    let mut reads: Vec<ContextRead> = Vec::with_capacity(all.len());
    for read in all {
        // Most reads are the same for every platform.
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

/// Returns whether the Dockerfile has ONBUILD instructions. A build that uses its image as a named context, and is based on
/// it, runs them with its own context.
pub fn has_onbuild(text: &str) -> bool {
    stages::parse(text).is_ok_and(|file| file.stages.iter().any(stages::Stage::has_onbuild))
}

#[cfg(test)]
mod tests;
