//! Dockerfiles at random, of what Dockerfiles copy and mount with. Each step says whose it is by where it copies to, so
//! that no two targets have a step in common.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use fastrand::Rng;

use super::steps::{Step, Steps};
use super::tree::{chance, pick};

#[derive(Debug, Clone)]
pub(super) struct Dockerfile {
    /// Before the first stage.
    head: Vec<String>,
    pub(super) stages: Vec<Stage>,
}

#[derive(Debug, Clone)]
pub(super) struct Stage {
    pub(super) name: String,
    from: String,
    lines: Vec<String>,
    /// Folders that the stage is sure to have.
    pub(super) has: Vec<String>,
}

/// What a new Dockerfile may name.
#[derive(Debug)]
pub(super) struct Surroundings<'a> {
    pub(super) steps: Steps<'a>,
    /// Names of linked targets, with folders that their images have.
    pub(super) linked: Vec<(String, Vec<String>)>,
    /// The reference of an image with a shell.
    pub(super) shell: &'a str,
}

impl Dockerfile {
    pub(super) fn new(
        around: &mut Surroundings<'_>,
        args: &mut BTreeMap<String, String>,
        rng: &mut Rng,
    ) -> Self {
        let mut new = Self {
            head: Vec::new(),
            stages: Vec::new(),
        };
        for number in 0..rng.usize(1..5) {
            let stage = new.stage(number, around, args, rng);
            new.stages.push(stage);
        }
        new
    }

    fn stage(
        &mut self,
        number: usize,
        around: &mut Surroundings<'_>,
        args: &mut BTreeMap<String, String>,
        rng: &mut Rng,
    ) -> Stage {
        let (from, mut has, shell) = self.from(around, rng);
        let mut stage = Stage {
            name: format!("s{number}"),
            from,
            lines: around.steps.declared(),
            has: Vec::new(),
        };
        if let Some(earlier) = self.some_with_something(rng).filter(|_| chance(rng, 60)) {
            stage.add(
                around
                    .steps
                    .copy_from(&earlier.name, pick::<String>(rng, &earlier.has)),
            );
        }
        let linked: Vec<_> = around.linked.iter().filter(|(_, has)| !has.is_empty()).collect();
        if !linked.is_empty() && chance(rng, 30) {
            let (name, has) = pick(rng, &linked);
            stage.add(around.steps.copy_from(name, pick::<String>(rng, has)));
        }
        for _ in 0..rng.usize(1..4) {
            stage.add(around.steps.any(args, rng));
        }
        if shell {
            let from = self.some_with_something(rng);
            let from = from.map(|stage| (stage.name.as_str(), pick(rng, &stage.has).as_str()));
            stage.add(around.steps.run(from, rng));
        }
        has.append(&mut stage.has);
        stage.has = has;
        stage
    }

    /// What a stage is based on, what that has, and whether there is a shell.
    fn from(&mut self, around: &Surroundings<'_>, rng: &mut Rng) -> (String, Vec<String>, bool) {
        if !around.linked.is_empty() && chance(rng, 50) {
            let (name, has) = pick(rng, &around.linked);
            return (name.clone(), has.clone(), false);
        }
        if !self.stages.is_empty() && chance(rng, 30) {
            let stage = pick(rng, &self.stages);
            let (name, has) = (stage.name.clone(), stage.has.clone());
            if self.head.is_empty() && chance(rng, 30) {
                self.head.push(format!("ARG BASE={name}"));
                return ("${BASE}".into(), has, false);
            }
            return (name, has, false);
        }
        if chance(rng, 20) {
            return (around.shell.to_owned(), Vec::new(), true);
        }
        ("scratch".into(), Vec::new(), false)
    }

    fn some_with_something(&self, rng: &mut Rng) -> Option<&Stage> {
        let stages: Vec<_> = self.stages.iter().filter(|stage| !stage.has.is_empty()).collect();
        (!stages.is_empty()).then(|| *pick(rng, &stages))
    }

    /// Another instruction at the end of a stage.
    pub(super) fn append(&mut self, stage: &str, line: &str) {
        for of in self.stages.iter_mut().filter(|of| of.name == stage) {
            of.lines.push(line.to_owned());
        }
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for line in &self.head {
            let _ = writeln!(text, "{line}");
        }
        for stage in &self.stages {
            let _ = writeln!(text, "FROM {} AS {}", stage.from, stage.name);
            for line in &stage.lines {
                let _ = writeln!(text, "{line}");
            }
        }
        text
    }
}

impl Stage {
    fn add(&mut self, step: Step) {
        self.lines.push(step.line);
        self.has.extend(step.makes);
    }
}
