//! The agent that is asked.

use std::ffi::OsStr;
use std::process::Command;

use anyhow::Result;

use crate::support::{LAB, Namespace, Runner};

#[derive(Debug)]
pub(super) struct Agent {
    runner: Runner,
    _namespace: Namespace,
}

impl Agent {
    /// In a namespace of that name.
    pub(super) fn new(name: &str) -> Result<Self> {
        let namespace = Namespace::new(name)?;
        let mut runner = Runner::new()?;
        runner.connect(&[("namespace", name)])?.ok()?;
        Ok(Self {
            runner,
            _namespace: namespace,
        })
    }

    /// In the job's environment.
    pub(super) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        self.runner.command(program)
    }

    pub(super) fn buildx(&self) -> Command {
        self.command(LAB.bin.join("docker-buildx"))
    }

    /// The reference of an image with a shell.
    pub(super) fn shell(&self) -> String {
        format!("{}/busybox", LAB.registry)
    }
}
