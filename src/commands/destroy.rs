//! `destroy`: removes agents that `connect` deployed. For people; never part of a job.

use std::io::{IsTerminal, Write};

use anyhow::Context;

use super::road;
use super::selection::Selection;
use super::signals::Signals;
use crate::cli::DestroyArgs;
use crate::cluster::Made;
use crate::inputs::{self, Removal};
use crate::output;
use crate::problem::Problem;
use crate::report::{Report, say};

pub fn run(args: &DestroyArgs) -> anyhow::Result<()> {
    let removal = inputs::destroy(args)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("starting the asynchronous runtime")?;
    let destroyed = runtime.block_on(guarded(&removal));
    // A thread may wait for an answer that never comes.
    runtime.shutdown_background();
    destroyed
}

/// Removes what was asked for, and in any case the credentials that were needed for it.
async fn guarded(removal: &Removal) -> anyhow::Result<()> {
    let mut signals = Signals::listen()?;
    let selection = Selection::create(&removal.name)?;
    let destroyed = tokio::select! {
        destroyed = destroy(removal, &selection) => destroyed,
        name = signals.next() => Err(anyhow::anyhow!("stopped by {name}")),
    };
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
    made.say(*volumes);
    if *ask && !agreed().await? {
        say("Nothing is removed");
        return Ok(());
    }
    cluster.remove(&made, *volumes).await?;
    report.done("Removed; builds that run are given their time to end");
    Ok(())
}

impl Made {
    fn say(&self, volumes: bool) {
        for thing in &self.deployments {
            say(&format!("  Deployment {}", thing.name));
        }
        for thing in &self.configs {
            say(&format!("  ConfigMap {}", thing.name));
        }
        for thing in &self.claims {
            let name = &thing.name;
            say(&if volumes {
                format!("  PersistentVolumeClaim {name}, and the cache in it")
            } else {
                format!("and keeps the PersistentVolumeClaim {name}, with its cache")
            });
        }
    }

    fn is_empty(&self, volumes: bool) -> bool {
        self.deployments.is_empty() && self.configs.is_empty() && (self.claims.is_empty() || !volumes)
    }
}

/// As kubectl and apt ask; whoever cannot be asked has to say it beforehand.
async fn agreed() -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Err(Problem::new(
            "Not confirmed",
            "Wanted to ask before removing anything, and standard input is no terminal.",
            "Run it in a terminal, or add --yes.",
        )
        .into());
    }
    output::finish();
    let mut output = std::io::stdout();
    write!(output, "Remove them? [y/N] ")?;
    output.flush()?;
    // Reading blocks, and Ctrl-C shall be heard meanwhile.
    let answer = tokio::task::spawn_blocking(|| {
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).map(|_| answer)
    });
    let answer = answer.await?.context("reading the answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
