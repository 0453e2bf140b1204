//! Determines which targets BuildKit did not serve from its cache.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::agent::Agent;
use crate::support::output;

/// A build of all targets of a repository.
#[derive(Debug, Default)]
pub(super) struct Built {
    /// The steps that were run, by target: its own, and those of the targets that it links to.
    ran: BTreeMap<String, BTreeSet<String>>,
    /// The digests of the images' configurations. If all steps were cached the digest is unchanged, including
    /// timestamps, unless an instruction that makes no layer changed.
    configurations: BTreeMap<String, String>,
}

impl Built {
    /// Returns the targets that this build rebuilt, each with the steps that were not cached.
    pub(super) fn rebuilt_since(&self, before: &Self) -> BTreeMap<String, String> {
        let mut rebuilt = BTreeMap::new();
        for (target, configuration) in &self.configurations {
            match self.ran.get(target) {
                Some(steps) => {
                    let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
                    rebuilt.insert(target.clone(), steps.join("; "));
                }
                None if before.configurations.get(target) != Some(configuration) => {
                    rebuilt.insert(target.clone(), "its configuration".to_owned());
                }
                None => {}
            }
        }
        rebuilt
    }

    /// Parses buildx's progress and metadata.
    fn parse(progress: &str, metadata: &str) -> Result<Self> {
        let mut built = Self::default();
        let metadata: BTreeMap<String, serde_json::Value> = serde_json::from_str(metadata)?;
        for (target, image) in metadata {
            if let Some(digest) = image["containerimage.config.digest"].as_str() {
                built.configurations.insert(target, digest.to_owned());
            }
        }
        let graph = Graph::parse(progress)?;
        for target in built.configurations.keys() {
            let steps = graph.ran_for(target);
            if !steps.is_empty() {
                built.ran.insert(target.clone(), steps);
            }
        }
        Ok(built)
    }
}

/// Builds all targets on the agent. The inner error is one of BuildKit, which the generated repository causes.
pub(super) fn bake(agent: &Agent, root: &Path) -> Result<Result<Built, String>> {
    let metadata = tempfile::NamedTempFile::new()?;
    let mut buildx = agent.buildx();
    buildx
        .current_dir(root)
        // Attestations take time and are not compared.
        .env("BUILDX_NO_DEFAULT_ATTESTATIONS", "1")
        .env("BUILDX_METADATA_PROVENANCE", "disabled")
        .args([
            "bake",
            "--allow=fs=*",
            "--progress=rawjson",
            "--set=*.output=type=image",
        ])
        .arg("--metadata-file")
        .arg(metadata.path());
    let result = output(&mut buildx)?;
    let progress = String::from_utf8(result.stderr)?;
    if !result.status.success() {
        let messages = progress.lines().filter(|line| !line.starts_with('{'));
        return Ok(Err(messages.collect::<Vec<_>>().join("\n")));
    }
    let metadata = std::fs::read_to_string(metadata.path())?;
    Built::parse(&progress, &metadata).map(Ok)
}

/// A step, which `--progress=rawjson` reports several times.
#[derive(Debug, Deserialize)]
struct Vertex {
    digest: String,
    #[serde(default)]
    inputs: Vec<String>,
    name: String,
    completed: Option<String>,
    #[serde(default)]
    cached: bool,
}

/// A line of `--progress=rawjson`.
#[derive(Debug, Deserialize)]
struct Line {
    #[serde(default)]
    vertexes: Vec<Vertex>,
}

/// All reports about each step. Targets that are built at once share the steps of a linked target. One of them may
/// report a step as cached that another one has just run; such a step was not in the cache.
#[derive(Debug, Default)]
struct Graph {
    /// The digests of each target's steps.
    target_digests: BTreeMap<String, BTreeSet<String>>,
    /// The digests of each step's inputs.
    inputs: BTreeMap<String, BTreeSet<String>>,
    /// The instructions of the steps that were run, by digest.
    ran: BTreeMap<String, String>,
}

impl Graph {
    /// Parses buildx's progress.
    fn parse(progress: &str) -> Result<Self> {
        let mut graph = Self::default();
        for line in progress.lines().filter(|line| line.starts_with('{')) {
            let line: Line =
                serde_json::from_str(line).with_context(|| format!("not a line of rawjson: {line}"))?;
            for vertex in line.vertexes {
                graph.add(vertex);
            }
        }
        Ok(graph)
    }

    /// Adds one report about a step.
    fn add(&mut self, vertex: Vertex) {
        // `[target stage 1/2] COPY a /b`
        let name = vertex
            .name
            .strip_prefix('[')
            .and_then(|name| name.split_once("] "));
        let Some((step, instruction)) = name else {
            return;
        };
        let target = step.split(' ').next().unwrap_or_default();
        let digests = self.target_digests.entry(target.to_owned()).or_default();
        digests.insert(vertex.digest.clone());
        let inputs = self.inputs.entry(vertex.digest.clone()).or_default();
        inputs.extend(vertex.inputs);
        let word = instruction.split(' ').next().unwrap_or_default();
        let is_step = ["ADD", "COPY", "RUN", "WORKDIR", "ONBUILD"].contains(&word);
        if is_step && vertex.completed.is_some() && !vertex.cached {
            self.ran.insert(vertex.digest, instruction.to_owned());
        }
    }

    /// Returns the steps of a target, and of the targets that it links to, that were run.
    fn ran_for(&self, target: &str) -> BTreeSet<String> {
        let mut open: Vec<&String> = self.target_digests.get(target).into_iter().flatten().collect();
        let mut seen = BTreeSet::new();
        while let Some(digest) = open.pop() {
            if seen.insert(digest) {
                open.extend(self.inputs.get(digest).into_iter().flatten());
            }
        }
        seen.into_iter()
            .filter_map(|digest| self.ran.get(digest).cloned())
            .collect()
    }
}
