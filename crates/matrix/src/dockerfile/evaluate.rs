//! What the stages that a build wants read, for one platform (BuildKit's dockerfile2llb/convert.go and what is beside
//! it).

mod environment;
mod graph;
mod platform;

use super::instruction::{Copy, Instruction};
use super::lexer::{HOLE, Lexer};
use super::mount::Mount;
use super::stages::Dockerfile;
use super::{Build, Read, Source, Sources, SyntaxFault, What};
use environment::Environment;
use graph::{Base, Graph, Origin};

pub fn reads(file: &Dockerfile, build: &Build<'_>, platform: Option<&str>) -> Result<Vec<Read>, SyntaxFault> {
    let lexer = Lexer::new(file.escape);
    let globals = environment::globals(file, build, platform, &lexer)?;
    let graph = Graph::new(file, build, &globals, &lexer)?;
    let wanted = graph.wanted()?;
    let mut reads = graph.reads_of_bases(&wanted);
    let mut environments: Vec<Environment> = Vec::with_capacity(file.stages.len());
    for index in 0..file.stages.len() {
        let mut environment = match graph.base(index) {
            Base::Stage(base) if graph.is_replaced(*base) => Environment::default(),
            Base::Stage(base) => environments
                .get(*base)
                .map(Environment::inherited)
                .unwrap_or_default(),
            Base::Scratch => Environment::empty(),
            Base::Named(_) | Base::Image(_) | Base::Unknown => Environment::default(),
        };
        if wanted.contains(&index) {
            for (line, instruction) in graph.instructions(index) {
                let mut step = Step {
                    build,
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

/// One instruction, when it is run.
struct Step<'a> {
    build: &'a Build<'a>,
    lexer: &'a Lexer,
    globals: &'a environment::Values,
    environment: &'a mut Environment,
    line: usize,
}

impl Step<'_> {
    fn run(
        &mut self,
        instruction: &Instruction,
        stage: usize,
        graph: &Graph<'_>,
        reads: &mut Vec<Read>,
    ) -> Result<(), SyntaxFault> {
        match instruction {
            Instruction::Arg(arguments) => {
                for (name, default) in arguments {
                    self.argument(name, default.as_deref())?;
                }
            }
            Instruction::Env(pairs) => {
                // All of them see the environment as it was before.
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
                if let Some(what) = self.copied(copy)? {
                    self.push(reads, origin, what);
                }
            }
            Instruction::Run(mounts) => {
                for mount in mounts {
                    let origin = graph.origin_of_mount(stage, &mount.from, self.line)?;
                    if let Some(what) = self.mounted(mount)? {
                        self.push(reads, origin, what);
                    }
                }
            }
            Instruction::From { .. } | Instruction::Onbuild(_) | Instruction::Other => (),
        }
        Ok(())
    }

    fn push(&self, reads: &mut Vec<Read>, origin: Origin, what: What) {
        let mut push = |from| {
            reads.push(Read {
                from,
                what: what.clone(),
                line: self.line,
            })
        };
        match origin {
            Origin::Context => push(Source::Context),
            Origin::Named(names) => names.into_iter().map(Source::Named).for_each(push),
            Origin::Stage { replaced_by, .. } => replaced_by.into_iter().map(Source::Named).for_each(push),
            Origin::Image => (),
        }
    }

    /// The build's argument, else the default, else what is known before the first FROM (`dispatchArg`).
    fn argument(&mut self, name: &str, default: Option<&str>) -> Result<(), SyntaxFault> {
        let value = match (self.build.args.get(name), default) {
            (Some(value), _) => Some(value.clone()),
            (None, Some(default)) => Some(self.expand(default)?),
            (None, None) => self.globals.get(name).cloned(),
        };
        if let Some(value) = value {
            self.environment.set_argument(name.to_owned(), value);
        }
        Ok(())
    }

    /// `None` when nothing is read.
    fn copied(&self, copy: &Copy) -> Result<Option<What>, SyntaxFault> {
        let mut sources = Vec::with_capacity(copy.sources.len());
        for source in &copy.sources {
            let source = self.expand(source)?;
            if source.contains(HOLE) {
                return Ok(Some(What::All(
                    "a source depends on a variable that is not known",
                )));
            }
            if !(copy.is_add && is_remote(&source)) {
                sources.push(source);
            }
        }
        Ok(if sources.is_empty() {
            None
        } else {
            Some(Sources::of_copy(copy, &sources))
        })
    }

    fn mounted(&self, mount: &Mount) -> Result<Option<What>, SyntaxFault> {
        let kind = self.expand(&mount.kind)?.to_lowercase();
        let source = self.expand(&mount.source)?;
        let reads = match kind.as_str() {
            "bind" => true,
            // Without one it is a directory of its own.
            "cache" => !mount.from.is_empty(),
            "tmpfs" | "secret" | "ssh" => false,
            _ if kind.contains(HOLE) => true,
            _ => {
                return Err(SyntaxFault::new(
                    self.line,
                    format!("{kind} is no type of a mount"),
                ));
            }
        };
        Ok(match reads {
            false => None,
            true if source.contains(HOLE) => {
                Some(What::All("a mount depends on a variable that is not known"))
            }
            true => Some(Sources::of_mount(&source)),
        })
    }

    fn expand(&self, word: &str) -> Result<String, SyntaxFault> {
        // Most have neither.
        if !word.contains(['$', '\'', '"', self.lexer.escape, '<']) {
            return Ok(word.to_owned());
        }
        self.lexer
            .word(word, self.environment)
            .map_err(|what| SyntaxFault::new(self.line, what))
    }
}

/// Whether ADD fetches it: a URL, or a Git repository by SSH (dockerfile2llb/convert_copy.go, dfgitutil/git_ref.go).
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
