//! Which stages a build wants, and where an instruction reads from.

use std::collections::{BTreeMap, BTreeSet};

use super::super::instruction::Instruction;
use super::super::lexer::{HOLE, Lexer};
use super::super::reference::{familiar, without_platform};
use super::super::stages::Dockerfile;
use super::super::{Build, Read, Source, SyntaxFault, What};
use super::environment::Values;

/// What a stage is based on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// An earlier one.
    Stage(usize),
    Scratch,
    /// Named contexts: more than one when they are for a platform each.
    Named(Vec<String>),
    /// One from a registry.
    Image(String),
    /// It depends on what is not known: any of the above.
    Unknown,
}

/// Where an instruction reads from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Context,
    Stage {
        index: usize,
        replaced_by: Vec<String>,
    },
    Named(Vec<String>),
    /// An image from a registry, or nothing.
    Image,
}

#[derive(Debug)]
pub struct Graph<'a> {
    file: &'a Dockerfile,
    build: &'a Build<'a>,
    bases: Vec<Base>,
    /// The last stage of each name.
    by_name: BTreeMap<&'a str, usize>,
    /// By stage, the named contexts of its name.
    replaced: Vec<Replaced>,
}

#[derive(Debug, Default)]
struct Replaced {
    by: Vec<String>,
    /// For each platform, so that the stage itself counts for nothing.
    always: bool,
}

impl<'a> Graph<'a> {
    pub fn new(
        file: &'a Dockerfile,
        build: &'a Build<'a>,
        globals: &Values,
        lexer: &Lexer,
    ) -> Result<Graph<'a>, SyntaxFault> {
        let mut graph = Graph {
            file,
            build,
            bases: Vec::new(),
            by_name: BTreeMap::new(),
            replaced: Vec::new(),
        };
        for (index, stage) in file.stages.iter().enumerate() {
            let fault = |what| SyntaxFault::new(stage.line, what);
            let base = lexer.word(&stage.base, globals).map_err(fault)?;
            if base.is_empty() {
                return Err(fault(format!("{} comes to no image", stage.base)));
            }
            graph.bases.push(graph.base_of(&base));
            let name = stage.name.as_deref().unwrap_or_default();
            let by = graph.named(name);
            let always = by.iter().any(|context| !without_platform(context).1);
            graph.replaced.push(Replaced { by, always });
            if !name.is_empty() {
                graph.by_name.insert(name, index);
            }
        }
        Ok(graph)
    }

    fn base_of(&self, base: &str) -> Base {
        if base.contains(HOLE) {
            return Base::Unknown;
        }
        if let Some(index) = self.by_name.get(base.to_lowercase().as_str()) {
            return Base::Stage(*index);
        }
        if base == "scratch" {
            return Base::Scratch;
        }
        match self.named(base) {
            named if named.is_empty() => Base::Image(base.into()),
            named => Base::Named(named),
        }
    }

    /// The build's contexts of an image's or a stage's name, for whatever platform (`namedContextFunc`).
    fn named(&self, name: &str) -> Vec<String> {
        if name.is_empty()
            || ["scratch", "context"]
                .iter()
                .any(|own| name.eq_ignore_ascii_case(own))
        {
            return Vec::new();
        }
        let same = |context: &&String| familiar(without_platform(context).0) == familiar(name);
        self.build.contexts.iter().filter(same).cloned().collect()
    }

    pub fn base(&self, stage: usize) -> &Base {
        self.bases.get(stage).unwrap_or(&Base::Unknown)
    }

    /// Whether a named context stands for the stage, on some platform at least.
    pub fn is_replaced(&self, stage: usize) -> bool {
        self.replaced
            .get(stage)
            .is_some_and(|replaced| !replaced.by.is_empty())
    }

    /// A stage's instructions with their lines, after those that its base keeps for it.
    pub fn instructions(&self, stage: usize) -> impl Iterator<Item = (usize, &'a Instruction)> {
        let bases = match self.base(stage) {
            Base::Stage(base) => self.file.stages.get(*base..=*base),
            Base::Unknown => self.file.stages.get(..stage),
            _ => None,
        };
        let triggers = bases.unwrap_or_default().iter().flat_map(|base| base.triggers());
        let own = self
            .file
            .stages
            .get(stage..=stage)
            .unwrap_or_default()
            .iter()
            .flat_map(|stage| &stage.statements);
        triggers.chain(own.map(|statement| (statement.line, &statement.instruction)))
    }

    /// COPY takes a stage by its number too.
    pub fn origin_of_copy(&self, stage: usize, from: &str, line: usize) -> Result<Origin, SyntaxFault> {
        let Ok(number) = from.parse::<i64>() else {
            return self.origin_of_mount(stage, from, line);
        };
        match usize::try_from(number) {
            Ok(index) if index < stage => Ok(self.of_stage(index)),
            _ => Err(SyntaxFault::new(
                line,
                format!("there is no stage {from} before this one"),
            )),
        }
    }

    pub fn origin_of_mount(&self, stage: usize, from: &str, line: usize) -> Result<Origin, SyntaxFault> {
        if from.is_empty() {
            return Ok(Origin::Context);
        }
        if from.contains('$') {
            return Err(SyntaxFault::new(line, format!("from takes no variables: {from}")));
        }
        match self.by_name.get(from.to_lowercase().as_str()) {
            Some(index) if *index < stage => Ok(self.of_stage(*index)),
            Some(_) => Err(SyntaxFault::new(
                line,
                format!("the stage {from} is not before this one"),
            )),
            None => Ok(match self.named(from) {
                named if named.is_empty() => Origin::Image,
                named => Origin::Named(named),
            }),
        }
    }

    fn of_stage(&self, index: usize) -> Origin {
        let replaced_by = self
            .replaced
            .get(index)
            .map(|replaced| replaced.by.clone())
            .unwrap_or_default();
        Origin::Stage { index, replaced_by }
    }

    /// The target stage and what it is made of, without stages that a named context stands for.
    pub fn wanted(&self) -> Result<BTreeSet<usize>, SyntaxFault> {
        let mut wanted = BTreeSet::new();
        let mut todo = vec![self.target()?];
        while let Some(stage) = todo.pop() {
            if self.replaced.get(stage).is_some_and(|replaced| replaced.always) || !wanted.insert(stage) {
                continue;
            }
            match self.base(stage) {
                Base::Stage(base) => todo.push(*base),
                Base::Unknown => todo.extend(0..stage),
                Base::Scratch | Base::Named(_) | Base::Image(_) => (),
            }
            for (line, instruction) in self.instructions(stage) {
                let mut add = |origin| {
                    if let Origin::Stage { index, .. } = origin {
                        todo.push(index);
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
        Ok(wanted)
    }

    fn target(&self) -> Result<usize, SyntaxFault> {
        let Some(name) = self.build.stage.filter(|name| !name.is_empty()) else {
            return Ok(self.file.stages.len().saturating_sub(1));
        };
        let unknown = || SyntaxFault::new(1, format!("there is no stage {name}"));
        self.by_name
            .get(name.to_lowercase().as_str())
            .copied()
            .ok_or_else(unknown)
    }

    /// Named contexts that the target, or a stage that it is made of, is based on or replaced by.
    pub fn reads_of_bases(&self, wanted: &BTreeSet<usize>) -> Vec<Read> {
        let mut reads = Vec::new();
        let mut all = |from, why, line| {
            reads.push(Read {
                from,
                what: What::All(why),
                line,
            })
        };
        let mut based = |names: &[String], line| {
            for name in names {
                all(Source::Named(name.clone()), "a stage is based on it", line);
            }
        };
        if let Ok(target) = self.target() {
            let line = self.file.stages.get(target).map_or(1, |stage| stage.line);
            based(
                self.replaced.get(target).map_or(&[], |replaced| &replaced.by),
                line,
            );
        }
        for index in wanted {
            let line = self.file.stages.get(*index).map_or(1, |stage| stage.line);
            match self.base(*index) {
                Base::Stage(base) => based(
                    self.replaced.get(*base).map_or(&[], |replaced| &replaced.by),
                    line,
                ),
                Base::Named(names) => based(names, line),
                Base::Unknown => {
                    let every: Vec<String> = self.build.contexts.iter().cloned().collect();
                    based(&every, line);
                }
                Base::Scratch | Base::Image(_) => (),
            }
        }
        for index in wanted {
            let line = self.file.stages.get(*index).map_or(1, |stage| stage.line);
            if matches!(self.base(*index), Base::Image(name) if name.contains("onbuild")) {
                reads.push(Read {
                    from: Source::Context,
                    what: What::All("its base image is one for ONBUILD"),
                    line,
                });
            }
        }
        reads
    }
}
