//! `manifests`: what `connect` would apply, for people who deploy by GitOps.

use crate::agent;
use crate::cli::AgentArgs;
use crate::{inputs, report};

pub fn run(args: &AgentArgs) -> anyhow::Result<()> {
    let spec = inputs::manifests(args)?;
    report::say(agent::manifests::yaml(&spec)?.trim_end());
    Ok(())
}
