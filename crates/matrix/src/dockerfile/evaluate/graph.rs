//! Determines which stages a build needs, and what each instruction reads from.

use std::collections::{BTreeMap, BTreeSet};

use super::super::error::{DockerfileError, DockerfileErrorKind};
use super::super::instruction::Instruction;
use super::super::lexer::{Lexer, VariableValues};
use super::super::reference::{short_name, without_platform};
use super::super::stages::Dockerfile;
use super::super::unresolved::UNRESOLVED;
use super::super::{BuildParams, ContextName, ContextRead, Scope};

/// What a stage is based on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StageBase {
    /// An earlier stage.
    Stage(usize),
    Scratch,
    /// Named contexts: several if each is for one platform.
    Named(Vec<String>),
    /// An image from a registry.
    Image(String),
    /// The base depends on an unknown variable and may be any of the above.
    Unknown,
}

/// What an instruction reads from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadOrigin {
    Context,
    Stage {
        index: usize,
        replaced_by: Vec<String>,
    },
    Named(Vec<String>),
    /// An image from a registry, or nothing.
    Image,
}

/// The stages of a Dockerfile with their bases.
#[derive(Debug)]
pub struct StageGraph<'a> {
    file: &'a Dockerfile,
    params: &'a BuildParams<'a>,
    bases: Vec<StageBase>,
    /// The last stage of each name.
    by_name: BTreeMap<&'a str, usize>,
    /// For each stage, the named contexts that have its name.
    replaced: Vec<StageReplacement>,
}

/// The named contexts that replace a stage.
#[derive(Debug, Default)]
struct StageReplacement {
    by: Vec<String>,
    /// Whether they replace it on every platform, so that the stage itself is never used.
    always: bool,
}

impl<'a> StageGraph<'a> {
    pub fn new(
        file: &'a Dockerfile,
        params: &'a BuildParams<'a>,
        globals: &VariableValues,
        lexer: &Lexer,
    ) -> Result<StageGraph<'a>, DockerfileError> {
        let mut graph = StageGraph {
            file,
            params,
            bases: Vec::new(),
            by_name: BTreeMap::new(),
            replaced: Vec::new(),
        };
        for (index, stage) in file.stages.iter().enumerate() {
            let at_stage = DockerfileErrorKind::at(stage.line);
            let base = lexer.word(&stage.base, globals).map_err(&at_stage)?;
            if base.is_empty() {
                return Err(at_stage(DockerfileErrorKind::EmptyBase(stage.base.clone())));
            }
            graph.bases.push(graph.base_of(&base));
            let name = stage.name.as_deref().unwrap_or_default();
            let by = graph.named(name);
            let always = by.iter().any(|context| !without_platform(context).1);
            graph.replaced.push(StageReplacement { by, always });
            if !name.is_empty() {
                graph.by_name.insert(name, index);
            }
        }
        Ok(graph)
    }

    fn base_of(&self, base: &str) -> StageBase {
        if base.contains(UNRESOLVED) {
            return StageBase::Unknown;
        }
        if let Some(index) = self.by_name.get(base.to_lowercase().as_str()) {
            return StageBase::Stage(*index);
        }
        if base == "scratch" {
            return StageBase::Scratch;
        }
        match self.named(base) {
            named if named.is_empty() => StageBase::Image(base.into()),
            named => StageBase::Named(named),
        }
    }

    /// Returns the named contexts with the name of an image or stage, for any platform (`namedContextFunc`).
    fn named(&self, name: &str) -> Vec<String> {
        if name.is_empty()
            || ["scratch", "context"]
                .iter()
                .any(|own| name.eq_ignore_ascii_case(own))
        {
            return Vec::new();
        }
        let same = |context: &&String| short_name(without_platform(context).0) == short_name(name);
        self.params.contexts.iter().filter(same).cloned().collect()
    }

    pub fn base(&self, stage: usize) -> &StageBase {
        self.bases.get(stage).unwrap_or(&StageBase::Unknown)
    }

    /// Returns whether a named context replaces the stage on at least one platform.
    pub fn is_replaced(&self, stage: usize) -> bool {
        self.replaced
            .get(stage)
            .is_some_and(|replaced| !replaced.by.is_empty())
    }

    /// Returns the instructions of a stage with their lines, after the ONBUILD instructions of its base.
    pub fn instructions(&self, stage: usize) -> impl Iterator<Item = (usize, &'a Instruction)> {
        let bases = match self.base(stage) {
            StageBase::Stage(base) => self.file.stages.get(*base..=*base),
            StageBase::Unknown => self.file.stages.get(..stage),
            _ => None,
        };
        let onbuild = bases
            .unwrap_or_default()
            .iter()
            .flat_map(|base| base.onbuild_instructions());
        let own = self
            .file
            .stages
            .get(stage..=stage)
            .unwrap_or_default()
            .iter()
            .flat_map(|stage| &stage.statements);
        onbuild.chain(own.map(|statement| (statement.line, &statement.instruction)))
    }

    /// Returns what COPY reads from. COPY also accepts the number of a stage.
    pub fn origin_of_copy(
        &self,
        stage: usize,
        from: &str,
        line: usize,
    ) -> Result<ReadOrigin, DockerfileError> {
        let Ok(number) = from.parse::<i64>() else {
            return self.origin_of_mount(stage, from, line);
        };
        match usize::try_from(number) {
            Ok(index) if index < stage => Ok(self.stage_origin(index)),
            _ => Err(DockerfileError::new(
                line,
                DockerfileErrorKind::StageNotBefore(from.to_owned()),
            )),
        }
    }

    /// Returns what a mount reads from.
    pub fn origin_of_mount(
        &self,
        stage: usize,
        from: &str,
        line: usize,
    ) -> Result<ReadOrigin, DockerfileError> {
        if from.is_empty() {
            return Ok(ReadOrigin::Context);
        }
        if from.contains('$') {
            return Err(DockerfileError::new(
                line,
                DockerfileErrorKind::VariableInFrom(from.to_owned()),
            ));
        }
        match self.by_name.get(from.to_lowercase().as_str()) {
            Some(index) if *index < stage => Ok(self.stage_origin(*index)),
            Some(_) => Err(DockerfileError::new(
                line,
                DockerfileErrorKind::StageNotBefore(from.to_owned()),
            )),
            None => Ok(match self.named(from) {
                named if named.is_empty() => ReadOrigin::Image,
                named => ReadOrigin::Named(named),
            }),
        }
    }

    fn stage_origin(&self, index: usize) -> ReadOrigin {
        let replaced_by = self
            .replaced
            .get(index)
            .map(|replaced| replaced.by.clone())
            .unwrap_or_default();
        ReadOrigin::Stage { index, replaced_by }
    }

    /// Returns the target stage and the stages that it needs, without stages that a named context replaces.
    pub fn needed_stages(&self) -> Result<BTreeSet<usize>, DockerfileError> {
        let mut needed = BTreeSet::new();
        let mut queue = vec![self.target()?];
        while let Some(stage) = queue.pop() {
            if self.replaced.get(stage).is_some_and(|replaced| replaced.always) || !needed.insert(stage) {
                continue;
            }
            match self.base(stage) {
                StageBase::Stage(base) => queue.push(*base),
                StageBase::Unknown => queue.extend(0..stage),
                StageBase::Scratch | StageBase::Named(_) | StageBase::Image(_) => (),
            }
            for (line, instruction) in self.instructions(stage) {
                let mut add = |origin| {
                    if let ReadOrigin::Stage { index, .. } = origin {
                        queue.push(index);
                    }
                };
                match instruction {
                    Instruction::Copy(copy) => add(self.origin_of_copy(stage, &copy.from, line)?),
                    Instruction::Run(mounts) => {
                        for mount in mounts {
                            add(self.origin_of_mount(stage, &mount.from, line)?);
                        }
                    }
                    _ => (),
                }
            }
        }
        Ok(needed)
    }

    fn target(&self) -> Result<usize, DockerfileError> {
        let Some(name) = self.params.stage.filter(|name| !name.is_empty()) else {
            return Ok(self.file.stages.len().saturating_sub(1));
        };
        let unknown = || DockerfileError::new(1, DockerfileErrorKind::UnknownStage(name.to_owned()));
        self.by_name
            .get(name.to_lowercase().as_str())
            .copied()
            .ok_or_else(unknown)
    }

    /// Returns the reads of named contexts that the target stage, or a stage that it needs, is based on or replaced by.
    pub fn base_reads(&self, needed: &BTreeSet<usize>) -> Vec<ContextRead> {
        let mut reads = Vec::new();
        let mut all = |context, reason, line| {
            reads.push(ContextRead {
                context,
                scope: Scope::All(reason),
                line,
            })
        };
        let mut based = |names: &[String], line| {
            for name in names {
                all(ContextName::Named(name.clone()), "a stage is based on it", line);
            }
        };
        if let Ok(target) = self.target() {
            let line = self.file.stages.get(target).map_or(1, |stage| stage.line);
            based(
                self.replaced.get(target).map_or(&[], |replaced| &replaced.by),
                line,
            );
        }
        for index in needed {
            let line = self.file.stages.get(*index).map_or(1, |stage| stage.line);
            match self.base(*index) {
                StageBase::Stage(base) => based(
                    self.replaced.get(*base).map_or(&[], |replaced| &replaced.by),
                    line,
                ),
                StageBase::Named(names) => based(names, line),
                StageBase::Unknown => {
                    let every: Vec<String> = self.params.contexts.iter().cloned().collect();
                    based(&every, line);
                }
                StageBase::Scratch | StageBase::Image(_) => (),
            }
        }
        for index in needed {
            let line = self.file.stages.get(*index).map_or(1, |stage| stage.line);
            if matches!(self.base(*index), StageBase::Image(name) if name.contains("onbuild")) {
                reads.push(ContextRead {
                    context: ContextName::Main,
                    scope: Scope::All("its base image may have ONBUILD instructions"),
                    line,
                });
            }
        }
        reads
    }
}
