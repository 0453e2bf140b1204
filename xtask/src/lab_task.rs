//! `cargo xtask lab`: the lab by hand, for trying things.

use anyhow::Result;
use lab::{Lab, State};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Task {
    /// Build what the lab is made of; about a quarter of an hour, once
    Install,
    /// Start it, and leave it running
    Up {
        /// How many nodes
        #[arg(long, default_value_t = 1)]
        nodes: usize,
    },
    /// Stop it; nothing is left
    Down,
    /// Print the environment of a job on it, for a shell to evaluate
    Env,
}

pub(crate) fn run(task: Task) -> Result<()> {
    match task {
        Task::Install => {
            lab::cancel::watch()?;
            lab::install().map(drop)
        }
        Task::Up { nodes } => {
            lab::cancel::watch()?;
            let state = Lab::up(&lab::install()?, nodes)?.keep()?;
            println!(
                "The lab is up in {}; its kubeconfig: {}",
                state.dir.display(),
                state.admin_kubeconfig.display()
            );
            Ok(())
        }
        Task::Down => lab::down(),
        Task::Env => {
            for (name, value) in State::load()?.client_env() {
                println!("export {name}='{value}'");
            }
            Ok(())
        }
    }
}
