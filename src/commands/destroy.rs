//! `destroy`: removes agents that `connect` deployed. For people; never part of a job.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;

use super::guard::{self, Ended, Guard};
use super::road;
use super::selection::Selection;
use crate::cli::DestroyArgs;
use crate::cluster::Made;
use crate::error_code::ErrorCode;
use crate::inputs::{self, Removal};
use crate::output;
use crate::problem::Problem;
use crate::report::{Report, say};
use crate::retry::Retrier;

pub fn run(args: &DestroyArgs) -> anyhow::Result<()> {
    let removal = inputs::destroy(args)?;
    guard::block_on(guarded(Arc::new(removal)))
}

/// For asking: whoever sits before it may take their time to answer.
const PATIENCE: Duration = Duration::from_secs(300);

/// Removes what was asked for, and in any case the credentials that were needed for it.
async fn guarded(removal: Arc<Removal>) -> anyhow::Result<()> {
    let mut guard = Guard::listen()?;
    let selection = Arc::new(Selection::create(&removal.name)?);
    let work = destroy(removal, selection.clone());
    let destroyed = match guard.over(work, None).await {
        Ok(destroyed) => destroyed,
        Err(Ended::Signal(name)) => Err(anyhow::anyhow!("stopped by {name}")),
        Err(Ended::Deadline) => Err(anyhow::anyhow!("out of time")),
    };
    let discarded = selection.discard();
    destroyed.and(discarded)
}

async fn destroy(removal: Arc<Removal>, selection: Arc<Selection>) -> anyhow::Result<()> {
    let Removal {
        road,
        name,
        namespace,
        volumes,
        ask,
    } = &*removal;
    let report = Report::start();
    let retrier = Retrier::new(Instant::now() + PATIENCE, Report::detail);
    let (cluster, session) = road::open(road, namespace, &selection, &report, &retrier).await?;
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
    say_made(&made, *volumes);
    if *ask && !agreed().await? {
        say("Nothing is removed");
        return Ok(());
    }
    cluster.remove(&made, *volumes).await?;
    report.done("Removed; builds that run are given their time to end");
    Ok(())
}

fn say_made(made: &Made, volumes: bool) {
    for thing in &made.deployments {
        say(&format!("  Deployment {}", thing.name));
    }
    for thing in &made.configs {
        say(&format!("  ConfigMap {}", thing.name));
    }
    for thing in &made.claims {
        let name = &thing.name;
        say(&if volumes {
            format!("  PersistentVolumeClaim {name}, and the cache in it")
        } else {
            format!("and keeps the PersistentVolumeClaim {name}, with its cache")
        });
    }
}

/// As kubectl and apt ask; whoever cannot be asked has to say it beforehand.
async fn agreed() -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Err(Problem::new(
            ErrorCode::ConfirmationRequired,
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
