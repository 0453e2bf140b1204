//! `cargo xtask lab`: the lab by hand, for trying things.

use anyhow::{Result, ensure};
use lab::{Lab, State};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Task {
    /// Build what the lab is made of; about twenty minutes, once
    Install,
    /// Start it, and leave it running
    Up {
        /// How many nodes; the second is an arm64 one
        #[arg(long, default_value_t = lab::NODES)]
        nodes: usize,
    },
    /// Stop it; nothing is left
    Down,
    /// Say where it is and what of it runs
    Status,
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
        Task::Status => {
            let state = State::load()?;
            println!("lab     {}", state.dir.display());
            println!("cluster {}", state.api_server);
            println!("AWS     {}", state.aws_endpoint);
            println!("images  {}", state.registry);
            let mut all = true;
            for (name, alive) in lab::daemons()? {
                all &= alive;
                println!("{name:24} {}", if alive { "runs" } else { "has ended" });
            }
            ensure!(all, "the lab is broken; `cargo xtask lab down`, and up again");
            Ok(())
        }
        Task::Env => {
            for (name, value) in State::load()?.client_env() {
                println!("export {name}='{value}'");
            }
            Ok(())
        }
    }
}
