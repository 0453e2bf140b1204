//! The agent that builds the repositories.

use std::ffi::OsStr;
use std::process::Command;

use anyhow::Result;

use crate::support::{LAB, Namespace, Runner};

/// A deployed agent, with its namespace and the runner that connected to it.
#[derive(Debug)]
pub(super) struct Agent {
    runner: Runner,
    _namespace: Namespace,
}

impl Agent {
    /// Deploys an agent in a namespace of the given name.
    pub(super) fn new(name: &str) -> Result<Self> {
        let namespace = Namespace::new(name)?;
        let mut runner = Runner::new()?;
        runner.connect(&[("namespace", name)])?.ok()?;
        Ok(Self {
            runner,
            _namespace: namespace,
        })
    }

    /// Returns a command with the job's environment.
    pub(super) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        self.runner.command(program)
    }

    /// Returns a buildx command with the job's environment.
    pub(super) fn buildx(&self) -> Command {
        self.command(LAB.bin.join("docker-buildx"))
    }

    /// Returns the reference of an image with a shell.
    pub(super) fn shell(&self) -> String {
        format!("{}/busybox", LAB.registry)
    }
}
