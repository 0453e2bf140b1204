//! The flags of `runner`.

use clap::Args;

use super::ConnectArgs;

#[derive(Debug, Args)]
pub struct RunnerArgs {
    #[command(flatten)]
    pub connect: ConnectArgs,
    /// User whose jobs build remotely. Default: the current user. root must set it.
    #[arg(long, help_heading = "Machine")]
    pub user: Option<String>,
    #[command(flatten)]
    pub registration: RegistrationArgs,
    /// Only install programs and contact no cluster.
    ///
    /// For building a machine image. Machines started from it run the command again at boot.
    #[arg(long, conflicts_with_all = ["remove", "github_url"], help_heading = "Machine")]
    pub install_only: bool,
    /// Undo the setup for this user.
    #[arg(long, help_heading = "Machine")]
    pub remove: bool,
    /// Run the user phase. The first phase, which installs the programs, starts it as the user.
    #[arg(long, hide = true)]
    pub as_user: bool,
}

/// The flags that register the machine as a GitHub Actions runner. They are used at boot, so none is an input of the
/// action.
#[derive(Debug, Args)]
pub struct RegistrationArgs {
    /// URL of the repository, organization or enterprise to register with as a just-in-time runner.
    ///
    /// The runner starts when the rest of the setup is done.
    #[arg(long, help_heading = "Runner registration")]
    pub github_url: Option<String>,
    /// File with a GitHub token for the registration, or - for standard input. Default: GITHUB_TOKEN.
    #[arg(long, value_name = "FILE", help_heading = "Runner registration")]
    pub github_token_file: Option<String>,
    /// Client ID or number of a GitHub App to register with, instead of a token.
    #[arg(long, value_name = "ID", help_heading = "Runner registration")]
    pub github_app_id: Option<String>,
    /// File with a private key of the GitHub App, or - for standard input.
    #[arg(long, value_name = "FILE", help_heading = "Runner registration")]
    pub github_app_key_file: Option<String>,
    /// Name of the runner. Default: the host name.
    #[arg(long, help_heading = "Runner registration")]
    pub runner_name: Option<String>,
    /// Labels of the runner. Default: self-hosted, linux, and x64 or arm64.
    #[arg(long, help_heading = "Runner registration")]
    pub runner_labels: Option<String>,
    /// Group of the runner. Default: the default group.
    #[arg(long, help_heading = "Runner registration")]
    pub runner_group: Option<String>,
    /// Directory with the runner's run.sh.
    #[arg(
        long,
        default_value = "/opt/actions-runner",
        help_heading = "Runner registration"
    )]
    pub runner_dir: String,
}
