//! Evaluates the stages that a build needs, for one platform (BuildKit's dockerfile2llb/convert.go and the files beside
//! it).

mod environment;
mod graph;
mod platform;

use super::error::{DockerfileError, DockerfileErrorKind};
use super::instruction::{CopyInstruction, Instruction};
use super::lexer::{Lexer, VariableValues};
use super::mount::RunMount;
use super::stages::Dockerfile;
use super::unresolved::UNRESOLVED;
use super::{BuildParams, ContextName, ContextRead, Scope, SourcePaths};
use environment::StageEnvironment;
use graph::{ReadOrigin, StageBase, StageGraph};

/// Returns what the build reads for one platform.
pub fn context_reads(
    file: &Dockerfile,
    params: &BuildParams<'_>,
    platform: Option<&str>,
) -> Result<Vec<ContextRead>, DockerfileError> {
    let lexer = Lexer::new(file.escape);
    let globals = environment::globals(file, params, platform, &lexer)?;
    let graph = StageGraph::new(file, params, &globals, &lexer)?;
    let needed = graph.needed_stages()?;
    let mut reads = graph.base_reads(&needed);
    let mut environments: Vec<StageEnvironment> = Vec::with_capacity(file.stages.len());
    for index in 0..file.stages.len() {
        let mut environment = match graph.base(index) {
            StageBase::Stage(base) if graph.is_replaced(*base) => StageEnvironment::default(),
            StageBase::Stage(base) => environments
                .get(*base)
                .map(StageEnvironment::inherited)
                .unwrap_or_default(),
            StageBase::Scratch => StageEnvironment::empty(),
            StageBase::Named(_) | StageBase::Image(_) | StageBase::Unknown => StageEnvironment::default(),
        };
        if needed.contains(&index) {
            for (line, instruction) in graph.instructions(index) {
                let mut step = StageEvaluator {
                    params,
                    lexer: &lexer,
                    globals: &globals,
                    environment: &mut environment,
                    line,
                };
                step.run(instruction, index, &graph, &mut reads)?;
            }
        }
        environments.push(environment);
    }
    Ok(reads)
}

/// Evaluates one instruction.
struct StageEvaluator<'a> {
    params: &'a BuildParams<'a>,
    lexer: &'a Lexer,
    globals: &'a VariableValues,
    environment: &'a mut StageEnvironment,
    line: usize,
}

impl StageEvaluator<'_> {
    fn run(
        &mut self,
        instruction: &Instruction,
        stage: usize,
        graph: &StageGraph<'_>,
        reads: &mut Vec<ContextRead>,
    ) -> Result<(), DockerfileError> {
        match instruction {
            Instruction::Arg(arguments) => {
                for (name, default) in arguments {
                    self.argument(name, default.as_deref())?;
                }
            }
            Instruction::Env(pairs) => {
                // Every value sees the variables as they were before the instruction.
                let mut expanded = Vec::with_capacity(pairs.len());
                for (name, value) in pairs {
                    expanded.push((self.expand(name)?, self.expand(value)?));
                }
                for (name, value) in expanded {
                    self.environment.set_variable(name, value);
                }
            }
            Instruction::Copy(copy) => {
                let origin = graph.origin_of_copy(stage, &copy.from, self.line)?;
                if let Some(scope) = self.copy_scope(copy)? {
                    self.push(reads, origin, scope);
                }
            }
            Instruction::Run(mounts) => {
                for mount in mounts {
                    let origin = graph.origin_of_mount(stage, &mount.from, self.line)?;
                    if let Some(scope) = self.mount_scope(mount)? {
                        self.push(reads, origin, scope);
                    }
                }
            }
            Instruction::From { .. } | Instruction::Onbuild(_) | Instruction::Other => (),
        }
        Ok(())
    }

    fn push(&self, reads: &mut Vec<ContextRead>, origin: ReadOrigin, scope: Scope) {
        let mut push = |context| {
            reads.push(ContextRead {
                context,
                scope: scope.clone(),
                line: self.line,
            })
        };
        match origin {
            ReadOrigin::Context => push(ContextName::Main),
            ReadOrigin::Named(names) => names.into_iter().map(ContextName::Named).for_each(push),
            ReadOrigin::Stage { replaced_by, .. } => {
                replaced_by.into_iter().map(ContextName::Named).for_each(push)
            }
            ReadOrigin::Image => (),
        }
    }

    /// Sets a variable to the build argument, else to the default, else to the value before the first FROM (`dispatchArg`).
    fn argument(&mut self, name: &str, default: Option<&str>) -> Result<(), DockerfileError> {
        let value = match (self.params.args.get(name), default) {
            (Some(value), _) => Some(value.clone()),
            (None, Some(default)) => Some(self.expand(default)?),
            (None, None) => self.globals.get(name).cloned(),
        };
        if let Some(value) = value {
            self.environment.set_argument(name.to_owned(), value);
        }
        Ok(())
    }

    /// Returns what COPY or ADD reads; `None` if it reads no context.
    fn copy_scope(&self, copy: &CopyInstruction) -> Result<Option<Scope>, DockerfileError> {
        let mut sources = Vec::with_capacity(copy.sources.len());
        for source in &copy.sources {
            let source = self.expand(source)?;
            if source.contains(UNRESOLVED) {
                return Ok(Some(Scope::All("a source depends on an unknown variable")));
            }
            if !(copy.is_add && is_remote(&source)) {
                sources.push(source);
            }
        }
        Ok(if sources.is_empty() {
            None
        } else {
            Some(SourcePaths::from_copy(copy, &sources))
        })
    }

    /// Returns what a mount reads; `None` if it reads no context.
    fn mount_scope(&self, mount: &RunMount) -> Result<Option<Scope>, DockerfileError> {
        let kind = self.expand(&mount.kind)?.to_lowercase();
        let source = self.expand(&mount.source)?;
        let reads = match kind.as_str() {
            "bind" => true,
            // Without `from` the cache starts empty.
            "cache" => !mount.from.is_empty(),
            "tmpfs" | "secret" | "ssh" => false,
            _ if kind.contains(UNRESOLVED) => true,
            _ => {
                return Err(DockerfileError::new(
                    self.line,
                    DockerfileErrorKind::UnsupportedMountType(kind),
                ));
            }
        };
        Ok(match reads {
            false => None,
            true if source.contains(UNRESOLVED) => Some(Scope::All("a mount depends on an unknown variable")),
            true => Some(SourcePaths::from_mount(&source)),
        })
    }

    fn expand(&self, word: &str) -> Result<String, DockerfileError> {
        // Most words need no expansion.
        if !word.contains(['$', '\'', '"', self.lexer.escape, '<']) {
            return Ok(word.to_owned());
        }
        self.lexer
            .word(word, self.environment)
            .map_err(DockerfileErrorKind::at(self.line))
    }
}

/// Returns whether ADD downloads the source: a URL, or a Git repository over SSH (dockerfile2llb/convert_copy.go, dfgitutil/git_ref.go).
fn is_remote(source: &str) -> bool {
    if let Some((scheme, _)) = source.split_once("://") {
        return matches!(scheme, "http" | "https")
            || ["git", "ssh"].iter().any(|git| scheme.eq_ignore_ascii_case(git));
    }
    let fits = |part: &str, more: &str| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '-' || more.contains(c))
    };
    source
        .split_once('@')
        .and_then(|(user, rest)| Some((user, rest.split_once(':')?.0)))
        .is_some_and(|(user, host)| fits(user, "_") && fits(host, "."))
}
