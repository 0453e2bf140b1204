//! `remote-buildkit demo` on the lab, whose builds get their base image from the lab's registry.

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;

use crate::support::{LAB, Namespace, Outcome, Runner, kubectl, program};

/// Returns a person's machine.
fn machine() -> Result<Runner> {
    let mut machine = Runner::new()?;
    machine.env.remove("GITHUB_ACTIONS");
    Ok(machine)
}

/// Returns the command of a demo with this base image.
fn command(machine: &Runner, namespace: &str, image: &str) -> std::process::Command {
    let mut command = machine.command(program());
    command
        .args(["demo", "--namespace", namespace, "--kubeconfig"])
        .arg(&LAB.admin_kubeconfig);
    for argument in ["NODE", "GO"] {
        command.arg("--build-arg").arg(format!("{argument}={image}"));
    }
    command
}

fn ensure_gone(namespace: &str) -> Result<()> {
    let left = kubectl(&["get", "namespace", namespace, "--ignore-not-found"])?;
    ensure!(left.is_empty(), "{left}");
    Ok(())
}

/// Returns the cached and all steps in a row of the table: `nothing changed   0.9   12 of 12`.
fn steps(outcome: &Outcome, row: &str) -> Result<(u32, u32)> {
    let line = outcome.log.lines().find(|line| line.starts_with(row));
    let line = line.with_context(|| format!("no row {row:?} in {}", outcome.log))?;
    let words: Vec<&str> = line.split_whitespace().collect();
    let [.., cached, "of", steps] = words[..] else {
        anyhow::bail!("{line}");
    };
    Ok((cached.parse()?, steps.parse()?))
}

#[test]
fn demo_shows_the_cache_and_leaves_nothing() -> Result<()> {
    let image = lab::push_toolchain(&LAB)?;
    let mut machine = machine()?;
    let before = machine.tree()?;
    let outcome = machine.step(command(&machine, "demo-shown", image))?.ok()?;
    let (cached, all) = steps(&outcome, "empty cache")?;
    ensure!(cached == 0 && all > 10, "{}", outcome.log);
    ensure!(
        steps(&outcome, "nothing changed")? == (all, all),
        "{}",
        outcome.log
    );
    let (cached, _) = steps(&outcome, "one line changed")?;
    ensure!((all / 2..all).contains(&cached), "{}", outcome.log);
    ensure_gone("demo-shown")?;
    ensure!(machine.tree()? == before, "the machine has changed");
    Ok(())
}

#[test]
fn demo_takes_no_namespace_that_exists() -> Result<()> {
    let namespace = Namespace::new("demo-taken")?;
    let mut machine = machine()?;
    let outcome = machine.step(command(&machine, &namespace.0, "absent"))?;
    ensure!(outcome.code == Some(1), "{outcome:?}");
    ensure!(
        outcome.log.contains("no demo of remote-buildkit created it"),
        "{}",
        outcome.log
    );
    kubectl(&["get", "namespace", &namespace.0])?;
    ensure!(namespace.names("deployment")?.is_empty(), "it deployed an agent");
    Ok(())
}

/// A build that fails and a signal, in turn, remove everything as well; `--keep` does not, and the next demo does.
#[test]
fn demo_that_fails_leaves_nothing() -> Result<()> {
    let mut machine = machine()?;
    let before = machine.tree()?;
    let absent = format!("{}/absent:1", LAB.registry);
    let outcome = machine.step(command(&machine, "demo-failed", &absent))?;
    ensure!(outcome.code == Some(1), "{outcome:?}");
    ensure!(outcome.log.contains("Test build failed"), "{}", outcome.log);
    ensure_gone("demo-failed")?;

    let mut kept = command(&machine, "demo-failed", &absent);
    kept.arg("--keep");
    let outcome = machine.step(kept)?;
    ensure!(
        outcome.log.contains("kubectl delete namespace demo-failed"),
        "{}",
        outcome.log
    );
    kubectl(&["-n", "demo-failed", "get", "deployment", "remote-buildkit-agent"])?;

    let mut step = machine.start(command(&machine, "demo-failed", &absent))?;
    step.wait_for_line("which an earlier demo left")?;
    step.wait_for_line("Created the namespace")?;
    step.signal(Signal::INT)?;
    let outcome = machine.finish(step)?;
    ensure!(outcome.code == Some(1), "{outcome:?}");
    ensure!(outcome.log.contains("stopped by SIGINT"), "{}", outcome.log);
    ensure_gone("demo-failed")?;
    ensure!(machine.tree()? == before, "the machine has changed");
    Ok(())
}
