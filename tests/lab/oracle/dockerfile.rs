//! Generates random Dockerfiles, which copy and mount files in all ways that Dockerfiles offer. The destination of
//! each step contains the name of its target, so that no two targets share a step.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use fastrand::Rng;

use super::steps::{DockerfileStep, Steps};
use super::tree::{chance, pick};

/// A generated Dockerfile.
#[derive(Debug, Clone)]
pub(super) struct Dockerfile {
    /// The lines before the first stage.
    head: Vec<String>,
    pub(super) stages: Vec<Stage>,
}

/// A stage of a generated Dockerfile.
#[derive(Debug, Clone)]
pub(super) struct Stage {
    pub(super) name: String,
    from: String,
    lines: Vec<String>,
    /// The directories that certainly exist in the stage.
    pub(super) dirs: Vec<String>,
}

/// The contexts, linked targets and images that a new Dockerfile may refer to.
#[derive(Debug)]
pub(super) struct GeneratorInputs<'a> {
    pub(super) steps: Steps<'a>,
    /// The names of linked targets, with the directories that certainly exist in their images.
    pub(super) linked: Vec<(String, Vec<String>)>,
    /// The reference of an image with a shell.
    pub(super) shell: &'a str,
}

impl Dockerfile {
    /// Generates a Dockerfile with one to four stages.
    pub(super) fn new(
        inputs: &mut GeneratorInputs<'_>,
        args: &mut BTreeMap<String, String>,
        rng: &mut Rng,
    ) -> Self {
        let mut new = Self {
            head: Vec::new(),
            stages: Vec::new(),
        };
        for number in 0..rng.usize(1..5) {
            let stage = new.stage(number, inputs, args, rng);
            new.stages.push(stage);
        }
        new
    }

    /// Generates a stage.
    fn stage(
        &mut self,
        number: usize,
        inputs: &mut GeneratorInputs<'_>,
        args: &mut BTreeMap<String, String>,
        rng: &mut Rng,
    ) -> Stage {
        let (from, mut dirs, has_shell) = self.choose_base(inputs, rng);
        let mut stage = Stage {
            name: format!("s{number}"),
            from,
            lines: inputs.steps.declared(),
            dirs: Vec::new(),
        };
        if let Some(earlier) = self.stage_with_dirs(rng).filter(|_| chance(rng, 60)) {
            stage.add(
                inputs
                    .steps
                    .copy_from(&earlier.name, pick::<String>(rng, &earlier.dirs)),
            );
        }
        let linked: Vec<_> = inputs
            .linked
            .iter()
            .filter(|(_, dirs)| !dirs.is_empty())
            .collect();
        if !linked.is_empty() && chance(rng, 30) {
            let (name, dirs) = pick(rng, &linked);
            stage.add(inputs.steps.copy_from(name, pick::<String>(rng, dirs)));
        }
        for _ in 0..rng.usize(1..4) {
            stage.add(inputs.steps.random_step(args, rng));
        }
        if has_shell {
            let from = self.stage_with_dirs(rng);
            let from = from.map(|stage| (stage.name.as_str(), pick(rng, &stage.dirs).as_str()));
            stage.add(inputs.steps.run(from, rng));
        }
        dirs.append(&mut stage.dirs);
        stage.dirs = dirs;
        stage
    }

    /// Returns a base for a stage, the directories that certainly exist in it, and whether it has a shell.
    fn choose_base(&mut self, inputs: &GeneratorInputs<'_>, rng: &mut Rng) -> (String, Vec<String>, bool) {
        if !inputs.linked.is_empty() && chance(rng, 50) {
            let (name, dirs) = pick(rng, &inputs.linked);
            return (name.clone(), dirs.clone(), false);
        }
        if !self.stages.is_empty() && chance(rng, 30) {
            let stage = pick(rng, &self.stages);
            let (name, dirs) = (stage.name.clone(), stage.dirs.clone());
            if self.head.is_empty() && chance(rng, 30) {
                self.head.push(format!("ARG BASE={name}"));
                return ("${BASE}".into(), dirs, false);
            }
            return (name, dirs, false);
        }
        if chance(rng, 20) {
            return (inputs.shell.to_owned(), Vec::new(), true);
        }
        ("scratch".into(), Vec::new(), false)
    }

    /// Returns a random stage with directories, if there is one.
    fn stage_with_dirs(&self, rng: &mut Rng) -> Option<&Stage> {
        let stages: Vec<_> = self
            .stages
            .iter()
            .filter(|stage| !stage.dirs.is_empty())
            .collect();
        (!stages.is_empty()).then(|| *pick(rng, &stages))
    }

    /// Appends an instruction to the stage of this name.
    pub(super) fn append(&mut self, name: &str, line: &str) {
        for stage in self.stages.iter_mut().filter(|stage| stage.name == name) {
            stage.lines.push(line.to_owned());
        }
    }

    /// Returns the content of the Dockerfile.
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
    fn add(&mut self, step: DockerfileStep) {
        self.lines.push(step.line);
        self.dirs.extend(step.creates);
    }
}
