//! Generates a random Git repository of several images, with their contexts and Dockerfiles, and a bake file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use fastrand::Rng;
use serde_json::{Value, json};

use super::dockerfile::{Dockerfile, GeneratorInputs};
use super::ignore;
use super::steps::Steps;
use super::tree::{Tree, chance, fill, join, pick, write};
use crate::support::run;

pub(super) const BAKE_FILE: &str = "docker-bake.json";
const LIBRARIES: [&str; 2] = ["libs/one", "libs/two"];

/// A generated repository.
#[derive(Debug)]
pub(super) struct RandomRepository {
    dir: tempfile::TempDir,
    pub(super) name: String,
    pub(super) rng: Rng,
    pub(super) dockerfiles: BTreeMap<String, Dockerfile>,
    pub(super) targets: Vec<Target>,
    /// The number of texts from [`RandomRepository::new_text`].
    text_count: u32,
}

/// A target of the bake file.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) name: String,
    pub(super) context: String,
    /// The path of its Dockerfile, relative to the root of the repository; `None` if the bake file contains it.
    pub(super) dockerfile: Option<String>,
    /// The content of a Dockerfile in the bake file.
    inline: Option<String>,
    pub(super) stage: Option<String>,
    args: BTreeMap<String, String>,
    contexts: BTreeMap<String, String>,
    /// The directories that certainly exist in its image.
    dirs: Vec<String>,
}

impl RandomRepository {
    /// Generates a repository with a first commit. `shell` is the reference of an image with a shell.
    pub(super) fn new(name: &str, mut rng: Rng, shell: &str) -> Result<Self> {
        let mut new = Self {
            dir: tempfile::Builder::new().prefix(name).tempdir()?,
            name: name.to_owned(),
            rng: rng.fork(),
            dockerfiles: BTreeMap::new(),
            targets: Vec::new(),
            text_count: 0,
        };
        for library in LIBRARIES {
            new.fill(library, &mut rng)?;
        }
        let text = new.new_text();
        write(new.root(), "README.md", &text)?;
        for number in 0..rng.usize(3..7) {
            let target = match new.targets.iter().find(|t| t.args.contains_key("TAG")).cloned() {
                Some(other) if chance(&mut rng, 60) => new.sibling(&other, number, &mut rng),
                _ => new.target(number, &mut rng, shell)?,
            };
            new.targets.push(target);
        }
        ignore::write_all(&new, &mut rng)?;
        let mut bake = serde_json::to_string_pretty(&new.bake_file())?;
        bake.push('\n');
        write(new.root(), BAKE_FILE, &bake)?;
        new.git(&["init", "--quiet", "--initial-branch=main"])?;
        new.commit("Shop")?;
        Ok(new)
    }

    pub(super) fn root(&self) -> &Path {
        self.dir.path()
    }

    /// Returns a text that no file had before: an earlier text could be in BuildKit's cache.
    pub(super) fn new_text(&mut self) -> String {
        self.text_count += 1;
        format!("{} {}\n", self.name, self.text_count)
    }

    fn fill(&mut self, context: &str, rng: &mut Rng) -> Result<()> {
        let root = self.root().to_owned();
        fill(&root, context, rng, || self.new_text())
    }

    /// Generates a target with its own Dockerfile.
    fn target(&mut self, number: usize, rng: &mut Rng, shell: &str) -> Result<Target> {
        let name = format!("{}-{number}", self.name);
        let dir = format!("apps/{number}");
        self.fill(&dir, rng)?;
        let (context, dockerfile) = match rng.u8(..6) {
            0 | 1 => (".".to_owned(), Some(join(&dir, "Dockerfile"))),
            2 => (dir, Some(format!("deploy/{number}.Dockerfile"))),
            3 => (dir, None),
            _ => (dir.clone(), Some(join(&dir, "Dockerfile"))),
        };
        let mut args = BTreeMap::new();
        let mut tag = name.clone();
        if dockerfile.is_some() && chance(rng, 30) {
            args.insert("TAG".to_owned(), tag);
            tag = "${TAG}".to_owned();
        }
        let mut contexts = BTreeMap::new();
        let mut linked = Vec::new();
        for other in self.targets.iter().filter(|_| chance(rng, 25)) {
            let name = format!("base-{}", other.name);
            contexts.insert(name.clone(), format!("target:{}", other.name));
            linked.push((name, other.dirs.clone()));
        }
        let mut named = Vec::new();
        for (number, library) in LIBRARIES.into_iter().enumerate() {
            if chance(rng, 25) {
                contexts.insert(format!("lib{number}"), library.to_owned());
                named.push((format!("lib{number}"), Tree::read(&self.root().join(library))?));
            }
        }
        let context_tree = Tree::read(&self.root().join(&context))?;
        let mut inputs = GeneratorInputs {
            steps: Steps {
                context: &context_tree,
                named: named.iter().map(|(name, tree)| (name.clone(), tree)).collect(),
                tag,
                count: 0,
            },
            linked,
            shell,
        };
        let new = Dockerfile::new(&mut inputs, &mut args, rng);
        let mut target = Target {
            name,
            context,
            dockerfile,
            inline: None,
            stage: None,
            args,
            contexts,
            dirs: Vec::new(),
        };
        target.choose_stage(&new, rng);
        match &target.dockerfile {
            Some(path) => {
                write(self.root(), path, &new.text())?;
                self.dockerfiles.insert(path.clone(), new);
            }
            None => target.inline = Some(new.text()),
        }
        Ok(target)
    }

    /// Returns another target with the Dockerfile of `original`.
    fn sibling(&self, original: &Target, number: usize, rng: &mut Rng) -> Target {
        let mut target = original.clone();
        target.name = format!("{}-{number}", self.name);
        target.args.insert("TAG".to_owned(), target.name.clone());
        if let Some(dockerfile) = original
            .dockerfile
            .as_ref()
            .and_then(|path| self.dockerfiles.get(path))
        {
            target.choose_stage(dockerfile, rng);
        }
        target
    }

    fn bake_file(&self) -> Value {
        let names: Vec<&str> = self.targets.iter().map(|target| target.name.as_str()).collect();
        let targets: BTreeMap<&str, Value> =
            self.targets.iter().map(|t| (t.name.as_str(), t.bake())).collect();
        json!({"group": {"default": {"targets": names}}, "target": targets})
    }

    /// Returns whether a Dockerfile or an argument contains the path, so that a build without the file would fail.
    pub(super) fn is_named(&self, path: &str) -> bool {
        if path.ends_with("src/main.go") || path.ends_with("conf/main.txt") {
            return true;
        }
        let contexts: BTreeSet<&str> = self
            .targets
            .iter()
            .map(|t| t.context.as_str())
            .chain(LIBRARIES)
            .collect();
        let relative = |context: &str| match context {
            "." => Some(path.to_owned()),
            context => path.strip_prefix(&format!("{context}/")).map(str::to_owned),
        };
        contexts.into_iter().filter_map(relative).any(|path| {
            let texts = self.dockerfiles.values().map(Dockerfile::text);
            texts
                .chain(self.targets.iter().map(|target| target.bake().to_string()))
                .any(|text| text.contains(&path) || text.contains(&path.replace('[', "\\[")))
        })
    }

    /// Commits all changes.
    pub(super) fn commit(&self, message: &str) -> Result<()> {
        self.git(&["add", "--all"])?;
        self.git(&["commit", "--quiet", "--allow-empty", "--message", message])?;
        Ok(())
    }

    pub(super) fn git(&self, arguments: &[&str]) -> Result<String> {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=octocat", "-c", "user.email=octocat@example.com"]);
        run(git.current_dir(self.root()).args(arguments))
    }

    /// Copies the files, links and modes of a commit. In the copy, the repository has another name of the same
    /// length.
    pub(super) fn copy(&self, commit: &str) -> Result<tempfile::TempDir> {
        let copy = tempfile::tempdir()?;
        let to = copy.path().to_str().context("a path")?;
        self.git(&["clone", "--quiet", ".", to])?;
        let commit = self.git(&["rev-parse", commit])?;
        self.git(&["-C", to, "checkout", "--quiet", commit.trim_end()])?;
        for file in Tree::read(copy.path())?.files {
            let file = copy.path().join(file);
            let text = std::fs::read_to_string(&file)?;
            std::fs::write(file, text.replace(&self.name, &self.name_in_copy(&self.name)))?;
        }
        Ok(copy)
    }

    /// Returns the name in a copy of something in this repository, such as a target.
    pub(super) fn name_in_copy(&self, name: &str) -> String {
        name.replacen('r', "q", 1)
    }

    /// Returns the path of a random context.
    pub(super) fn random_context(&mut self) -> String {
        let mut contexts: Vec<&str> = self.targets.iter().map(|t| t.context.as_str()).collect();
        contexts.extend(LIBRARIES);
        (*pick(&mut self.rng, &contexts)).to_owned()
    }
}

impl Target {
    /// Chooses the stage to build: the last one, or another one by name.
    fn choose_stage(&mut self, dockerfile: &Dockerfile, rng: &mut Rng) {
        let last = dockerfile.stages.len() - 1;
        let other = chance(rng, 30);
        let stage = &dockerfile.stages[if other { rng.usize(..=last) } else { last }];
        self.stage = other.then(|| stage.name.clone());
        let dirs = stage.dirs.iter().map(|dir| dir.replace("${TAG}", &self.name));
        self.dirs = dirs.collect();
    }

    /// Returns the target's definition in the bake file.
    pub(super) fn bake(&self) -> Value {
        let mut bake = json!({"context": self.context});
        // buildx resolves the path of a Dockerfile relative to the context.
        let up = match self.context.as_str() {
            "." => String::new(),
            context => "../".repeat(context.split('/').count()),
        };
        let dockerfile =
            self.dockerfile
                .as_ref()
                .map(|path| match path.strip_prefix(&format!("{}/", self.context)) {
                    Some(path) => path.to_owned(),
                    None => format!("{up}{path}"),
                });
        let fields = [
            ("dockerfile", json!(dockerfile)),
            // Bake itself expands variables in the bake file.
            (
                "dockerfile-inline",
                json!(self.inline.as_ref().map(|text| text.replace("${", "$${"))),
            ),
            ("target", json!(self.stage)),
            ("args", json!(self.args)),
            ("contexts", json!(self.contexts)),
        ];
        for (field, value) in fields {
            if !value.is_null() {
                bake[field] = value;
            }
        }
        bake
    }
}
