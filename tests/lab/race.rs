//! Many jobs at once.

use std::thread;

use anyhow::{Result, ensure};

use crate::support::{Namespace, Runner};

#[test]
fn twenty_concurrent_jobs_create_one_agent() -> Result<()> {
    let namespace = Namespace::new("race")?;
    let jobs: Vec<_> = (0..20)
        .map(|_| {
            thread::spawn(|| -> Result<String> {
                let connected = Runner::new()?.connect(&[("namespace", "race")])?.ok()?;
                Ok(connected.outputs["agent"].clone())
            })
        })
        .collect();
    let mut agents = Vec::new();
    for job in jobs {
        agents.push(job.join().expect("no panic")?);
    }
    agents.dedup();
    ensure!(agents.len() == 1, "more than one agent: {agents:?}");
    assert_eq!(namespace.names("deployment")?, ["remote-buildkit-agent"]);
    assert_eq!(namespace.names("pvc")?, ["remote-buildkit-agent"]);
    assert_eq!(namespace.names("pod")?, agents);
    let configs = namespace.names("configmap")?;
    let ours = configs.iter().filter(|c| *c == "remote-buildkit-agent");
    assert_eq!(ours.count(), 1);
    let sets = namespace.names("replicaset")?;
    ensure!(sets.len() == 1, "an apply changed the pods: {sets:?}");
    Ok(())
}
