//! The pod of an agent that is deleted during an exec. Alone, because the exec is found among all processes of the machine.

use anyhow::Result;

use crate::support::scenario::{Scenario, probe_runs};
use crate::support::wait_for;

const NOW: [&str; 3] = ["--grace-period=0", "--force", "--wait=false"];

#[test]
fn pod_is_deleted_during_exec() -> Result<()> {
    let mut scenario = Scenario::new("pod-deleted-exec", 60)?;
    let pod = scenario.agent()?;
    // A daemon that stands still keeps the exec open.
    scenario.namespace.signal(&pod, "SIGSTOP")?;
    let step = scenario.start()?;
    wait_for("the exec of the probe", probe_runs)?;
    scenario
        .namespace
        .kubectl(&[&["delete", "pod", &pod], &NOW[..]].concat())?;
    scenario.connected(step).map(drop)
}
