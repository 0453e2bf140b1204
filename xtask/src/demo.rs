//! `cargo xtask demo`: runs the example workflow twice: on a new agent, then from a new checkout on a new runner.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context, Result};
use lab::progress::{self, seconds};
use lab::{Checkout, Job, Lab, Parts, State};

use crate::tool::{cargo, root, stage};

const WORKFLOW: &str = ".github/workflows/build.yml";

pub(crate) fn run() -> Result<()> {
    lab::cancel::watch()?;
    stage("build the action's binary", &mut cargo(&["build", "--locked"]))?;
    let lab = Lab::up(&lab::install_parts(Parts::OneNode)?, 1)?;
    let state = lab.state()?;
    progress::step("push the base image of the example", || {
        lab::push_toolchain(state)
    })?;
    let first = build(state, "first build, on a new agent")?;
    let second = build(state, "second build, from a new checkout on a new runner")?;
    table(&first, &second);
    Ok(())
}

fn build(state: &State, title: &str) -> Result<BTreeMap<String, String>> {
    println!("\n── {title}\n");
    let dir = root().join("examples/demo");
    let workflow = std::fs::read_to_string(dir.join("workflow.yml"))
        .context("reading the example workflow")?
        .replace("CLUSTER", &state.cluster)
        .replace("REGION", &state.region)
        .replace("ROLE", &format!("arn:aws:iam::{}:role/ci", state.account))
        .replace("REGISTRY/", &format!("{}/", state.registry));
    let checkout = Checkout::new(
        &root(),
        &root().join("target/debug/remote-buildkit"),
        &[(WORKFLOW, &workflow)],
    )?;
    checkout.commit_copy(&dir)?;
    let start = Instant::now();
    // act marks the output of steps with a bar.
    let job = Job::run(state, &checkout, WORKFLOW, |line| {
        if let Some((_, text)) = line.split_once("  | ") {
            println!("{text}");
        }
    })?;
    let mut steps = steps(&job.ok()?.log);
    steps.insert("whole job".into(), seconds(start.elapsed()));
    Ok(steps)
}

/// Returns each build step and its result, from BuildKit's plain progress: `#6 [build 2/4] COPY …`, `#6 DONE 0.1s`.
fn steps(log: &str) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    let mut ends = BTreeMap::new();
    for line in log.lines().filter_map(|l| Some(l.split_once("| #")?.1)) {
        let Some((number, text)) = line.split_once(' ') else {
            continue;
        };
        if text.starts_with('[') && !text.starts_with("[internal]") {
            names.entry(number).or_insert(text);
        } else if text == "CACHED" {
            ends.insert(number, text);
        } else if let Some(time) = text.strip_prefix("DONE ") {
            ends.entry(number).or_insert(time);
        }
    }
    let end = |number: &str| {
        ends.get(number)
            .map_or_else(|| "-".to_owned(), |end| (*end).to_owned())
    };
    names
        .iter()
        .map(|(number, name)| ((*name).to_owned(), end(number)))
        .collect()
}

fn table(first: &BTreeMap<String, String>, second: &BTreeMap<String, String>) {
    println!("\n{:70} {:>12} {:>12}", "step", "first run", "second run");
    for (name, end) in first {
        let short: String = name.chars().take(70).collect();
        let again = second.get(name).map_or("-", String::as_str);
        println!("{short:70} {end:>12} {again:>12}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_read_from_plain_progress() {
        let log = "[x] | #4 [internal] load\n[x] | #5 [build 1/2] FROM a\n[x] | #6 [build 2/2] RUN b\n\
                   [x] | #5 CACHED\n[x] | #6 0.1 text\n[x] | #6 DONE 0.4s\n";
        let expected = [("[build 1/2] FROM a", "CACHED"), ("[build 2/2] RUN b", "0.4s")];
        let expected: BTreeMap<String, String> = expected.map(|(a, b)| (a.to_owned(), b.to_owned())).into();
        assert_eq!(steps(log), expected);
    }
}
