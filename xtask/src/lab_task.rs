//! `cargo xtask lab`: installs, starts and stops the lab, to work on it by hand.

use anyhow::{Result, ensure};
use lab::{Lab, State};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum LabTask {
    /// Build the parts of the lab and cache them; takes about twenty minutes the first time
    Install,
    /// Start the lab and leave it running
    Up {
        /// Number of nodes; the second is an arm64 node
        #[arg(long, default_value_t = lab::NODES)]
        nodes: usize,
    },
    /// Stop the lab and remove everything
    Down,
    /// Show where the lab is and which of its daemons are running
    Status,
    /// Print the environment of a job on the lab as shell exports
    Env,
}

pub(crate) fn run(task: LabTask) -> Result<()> {
    match task {
        LabTask::Install => {
            lab::cancel::watch()?;
            lab::install().map(drop)
        }
        LabTask::Up { nodes } => {
            lab::cancel::watch()?;
            let state = Lab::up(&lab::install()?, nodes)?.keep()?;
            println!(
                "The lab is running in {}. Its kubeconfig is {}",
                state.dir.display(),
                state.admin_kubeconfig.display()
            );
            Ok(())
        }
        LabTask::Down => lab::down(),
        LabTask::Status => {
            let state = State::load()?;
            println!("lab     {}", state.dir.display());
            println!("cluster {}", state.api_server);
            println!("AWS     {}", state.aws_endpoint);
            println!("images  {}", state.registry);
            let mut all = true;
            for (name, alive) in lab::daemons()? {
                all &= alive;
                println!("{name:24} {}", if alive { "running" } else { "stopped" });
            }
            ensure!(
                all,
                "a daemon of the lab is not running; run `cargo xtask lab down`, then `cargo xtask lab up`"
            );
            Ok(())
        }
        LabTask::Env => {
            for (name, value) in State::load()?.client_env() {
                println!("export {name}='{value}'");
            }
            Ok(())
        }
    }
}
