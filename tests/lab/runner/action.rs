//! Tests the `runner` sub-action: a step sets up a machine as the runner's ordinary user, without root.

use anyhow::{Result, ensure};

use crate::support::{BareMachine, Namespace};

#[test]
fn step_sets_up_the_machine_for_later_jobs() -> Result<()> {
    let _namespace = Namespace::new("runner-action")?;
    let bare = BareMachine::new("runner-action")?;
    bare.install_docker_cli()?;
    bare.repository("RUN echo one")?;
    let inputs: String = bare
        .flags()
        .iter()
        .filter_map(|flag| flag.strip_prefix("--")?.split_once('='))
        .map(|(name, value)| format!("          {name}: '{value}'\n"))
        .collect();
    let build = "      - run: cd /home/runner/work && docker build --progress plain .\n";
    let log = bare.run_job(&format!(
        "      - uses: actions/checkout@v7\n      - uses: ./runner\n        with:\n{inputs}{build}"
    ))?;
    ensure!(
        log.contains("installed as /home/runner/.docker/cli-plugins/docker-buildx"),
        "{log}"
    );
    ensure!(log.contains(": selected, for every job of this user"), "{log}");
    let next = bare.run_job(build)?;
    ensure!(next.contains("CACHED"), "{next}");
    Ok(())
}
