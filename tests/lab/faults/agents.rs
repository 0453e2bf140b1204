//! The pod of an agent that is deleted during an exec. Runs alone, because it looks for the exec among all processes
//! of the machine.

use anyhow::Result;

use crate::support::scenario::{Scenario, probe_is_running};
use crate::support::wait_for;

const FORCE: [&str; 3] = ["--grace-period=0", "--force", "--wait=false"];

#[test]
fn pod_is_deleted_during_exec() -> Result<()> {
    let mut scenario = Scenario::new("pod-deleted-exec", 60)?;
    let pod = scenario.deploy_agent()?;
    // A stopped daemon keeps the exec open.
    scenario.namespace.signal(&pod, "SIGSTOP")?;
    let step = scenario.start()?;
    wait_for("the exec of the probe", probe_is_running)?;
    scenario
        .namespace
        .kubectl(&[&["delete", "pod", &pod], &FORCE[..]].concat())?;
    scenario.expect_success_of(step).map(drop)
}
