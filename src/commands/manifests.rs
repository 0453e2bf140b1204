//! The command `manifests`: prints the objects that `connect` would apply, for deployments by GitOps.

use crate::agent::manifests::{self, rbac};
use crate::cli::ManifestsArgs;
use crate::{inputs, report};

pub fn run(args: &ManifestsArgs) -> anyhow::Result<()> {
    let agents = inputs::manifests(args)?;
    let mut text = manifests::yaml(&agents.all())?;
    if args.rbac {
        text = format!("{text}---\n{}", rbac::yaml(&agents.spec.namespace)?);
    }
    report::print_raw(text.trim_end())
}
