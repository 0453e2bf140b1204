//! The pod of an agent that is deleted during an exec. Alone, because the exec is found among all processes of the machine.

use anyhow::Result;

use crate::support::scenario::{Scenario, probe_is_running};
use crate::support::wait_for;

const NOW: [&str; 3] = ["--grace-period=0", "--force", "--wait=false"];

#[test]
fn pod_is_deleted_during_exec() -> Result<()> {
    let mut scenario = Scenario::new("pod-deleted-exec", 60)?;
    let pod = scenario.deploy_agent()?;
    // A daemon that stands still keeps the exec open.
    scenario.namespace.signal(&pod, "SIGSTOP")?;
    let step = scenario.start()?;
    wait_for("the exec of the probe", probe_is_running)?;
    scenario
        .namespace
        .kubectl(&[&["delete", "pod", &pod], &NOW[..]].concat())?;
    scenario.expect_success_of(step).map(drop)
}
