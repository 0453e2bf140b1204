//! What BuildKit did not have in its cache.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::agent::Agent;
use crate::support::output;

/// A build of all targets of a repository.
#[derive(Debug, Default)]
pub(super) struct Built {
    /// Steps that were run, by target: its own, and those of targets that it stands on.
    ran: BTreeMap<String, BTreeSet<String>>,
    /// Digests of the images' configurations. That of an image whose steps were all in the cache is as it was,
    /// times and all, unless an instruction that makes no layer has changed.
    configurations: BTreeMap<String, String>,
}

impl Built {
    /// Targets that this build had to make anew, each with what was not in the cache.
    pub(super) fn made_anew(&self, before: &Self) -> BTreeMap<String, String> {
        let mut anew = BTreeMap::new();
        for (target, configuration) in &self.configurations {
            match self.ran.get(target) {
                Some(steps) => {
                    let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
                    anew.insert(target.clone(), steps.join("; "));
                }
                None if before.configurations.get(target) != Some(configuration) => {
                    anew.insert(target.clone(), "its configuration".to_owned());
                }
                None => {}
            }
        }
        anew
    }

    fn of(progress: &str, metadata: &str) -> Result<Self> {
        let mut built = Self::default();
        let metadata: BTreeMap<String, serde_json::Value> = serde_json::from_str(metadata)?;
        for (target, of) in metadata {
            if let Some(digest) = of["containerimage.config.digest"].as_str() {
                built.configurations.insert(target, digest.to_owned());
            }
        }
        let graph = Graph::of(progress)?;
        for target in built.configurations.keys() {
            let steps = graph.ran_for(target);
            if !steps.is_empty() {
                built.ran.insert(target.clone(), steps);
            }
        }
        Ok(built)
    }
}

/// Builds all targets on the agent; an error of BuildKit's, which is what the inner result has, is the repository's.
pub(super) fn bake(agent: &Agent, root: &Path) -> Result<Result<Built, String>> {
    let metadata = tempfile::NamedTempFile::new()?;
    let mut buildx = agent.buildx();
    buildx
        .current_dir(root)
        // Attestations are not what is compared, and take time.
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
    let done = output(&mut buildx)?;
    let progress = String::from_utf8(done.stderr)?;
    if !done.status.success() {
        let said = progress.lines().filter(|line| !line.starts_with('{'));
        return Ok(Err(said.collect::<Vec<_>>().join("\n")));
    }
    let metadata = std::fs::read_to_string(metadata.path())?;
    Built::of(&progress, &metadata).map(Ok)
}

/// A step, as `--progress=rawjson` tells of it, several times.
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

#[derive(Debug, Deserialize)]
struct Line {
    #[serde(default)]
    vertexes: Vec<Vertex>,
}

/// All that was said about each step. Targets that are built at once share those of a linked target, and one of them
/// may say that a step was cached which another one has just run: whoever ran it, it was not in the cache.
#[derive(Debug, Default)]
struct Graph {
    /// Digests by target.
    of_targets: BTreeMap<String, BTreeSet<String>>,
    inputs: BTreeMap<String, BTreeSet<String>>,
    /// Names by digest.
    ran: BTreeMap<String, String>,
}

impl Graph {
    fn of(progress: &str) -> Result<Self> {
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

    fn add(&mut self, vertex: Vertex) {
        // `[target stage 1/2] COPY a /b`
        let name = vertex
            .name
            .strip_prefix('[')
            .and_then(|name| name.split_once("] "));
        let Some((place, instruction)) = name else {
            return;
        };
        let target = place.split(' ').next().unwrap_or_default();
        let of_target = self.of_targets.entry(target.to_owned()).or_default();
        of_target.insert(vertex.digest.clone());
        let inputs = self.inputs.entry(vertex.digest.clone()).or_default();
        inputs.extend(vertex.inputs);
        let word = instruction.split(' ').next().unwrap_or_default();
        let is_step = ["ADD", "COPY", "RUN", "WORKDIR", "ONBUILD"].contains(&word);
        if is_step && vertex.completed.is_some() && !vertex.cached {
            self.ran.insert(vertex.digest, instruction.to_owned());
        }
    }

    /// Steps that a target stands on and that were run.
    fn ran_for(&self, target: &str) -> BTreeSet<String> {
        let mut open: Vec<&String> = self.of_targets.get(target).into_iter().flatten().collect();
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
