//! `destroy`: removes agents that `connect` deployed. For people; never part of a job.

use std::io::{IsTerminal, Write};

use anyhow::Context;

use super::road;
use super::selection::Selection;
use crate::cli::DestroyArgs;
use crate::cluster::Made;
use crate::inputs::{self, Removal};
use crate::problem::Problem;
use crate::report::{Report, say};

pub fn run(args: &DestroyArgs) -> anyhow::Result<()> {
    let removal = inputs::destroy(args)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("starting the asynchronous runtime")?;
    let selection = Selection::create(&removal.name)?;
    let destroyed = runtime.block_on(destroy(&removal, &selection));
    let discarded = selection.discard();
    destroyed.and(discarded)
}

async fn destroy(removal: &Removal, selection: &Selection) -> anyhow::Result<()> {
    let Removal {
        road,
        name,
        namespace,
        volumes,
        ask,
    } = removal;
    let report = Report::start();
    let (cluster, session) = road::open(road, namespace, selection, &report).await?;
    let made = match cluster.made(name).await {
        Ok(made) => made,
        Err(error) => return Err(road::named(error, session.as_ref()).await),
    };
    if made.is_empty(*volumes) {
        say(&format!(
            "There is no agent {namespace}/{name} of ours, so nothing to remove"
        ));
        return Ok(());
    }
    say(&format!("In {namespace} of {} this removes:", cluster.server()));
    made.deployments
        .iter()
        .for_each(|d| say(&format!("  Deployment {d}")));
    made.configs.iter().for_each(|c| say(&format!("  ConfigMap {c}")));
    for claim in &made.claims {
        if *volumes {
            say(&format!("  PersistentVolumeClaim {claim}, and the cache in it"));
        } else {
            say(&format!(
                "and keeps the PersistentVolumeClaim {claim}, with its cache"
            ));
        }
    }
    if *ask && !agreed()? {
        say("Nothing is removed");
        return Ok(());
    }
    cluster.remove(&made, *volumes).await?;
    report.done("Removed; builds that run are given their time to end");
    Ok(())
}

impl Made {
    fn is_empty(&self, volumes: bool) -> bool {
        self.deployments.is_empty() && self.configs.is_empty() && (self.claims.is_empty() || !volumes)
    }
}

/// As kubectl and apt ask; whoever cannot be asked has to say it beforehand.
fn agreed() -> anyhow::Result<bool> {
    let input = std::io::stdin();
    if !input.is_terminal() {
        return Err(Problem::new(
            "Not confirmed",
            "Wanted to ask before removing anything, and standard input is no terminal.",
            "Run it in a terminal, or add --yes.",
        )
        .into());
    }
    let mut output = std::io::stdout();
    write!(output, "Remove them? [y/N] ")?;
    output.flush()?;
    let mut answer = String::new();
    input.read_line(&mut answer).context("reading the answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
