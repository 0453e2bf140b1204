//! The machine as a runner of GitHub, for one job. What lets it be one is a secret: GitHub gives it, and the runner gets it
//! by its environment, which only its own user and root can read, and which it takes it out of before a job begins
//! (actions/runner, CommandSettings.cs). On the command line, as `--jitconfig`, everybody would see it.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::commands::guard::{self, Guard, Interrupted};
use crate::error_code::ErrorCode;
use crate::github::api::runners::{self, Credential, Wanted};
use crate::github::{self, AppKey};
use crate::inputs::{self, Registration, Source};
use crate::machine::User;
use crate::problem::Problem;
use crate::report::say;
use crate::secret::Secret;
use crate::{env, output};

/// What the runner takes for its argument `--jitconfig`.
const JIT_CONFIGURATION: &str = "ACTIONS_RUNNER_INPUT_JITCONFIG";

/// What has to be there before anything is asked of anybody: the secret, and the runner.
#[derive(Debug)]
pub struct Ready {
    credential: Credential,
    script: PathBuf,
    wanted: Wanted,
}

/// Reads the secret as whoever runs this, for the runner's user shall not.
pub fn ready(registration: &Registration) -> anyhow::Result<Ready> {
    let script = registration.folder.join("run.sh");
    if !script.is_file() {
        return Err(Problem::new(
            ErrorCode::RunnerNotInstalled,
            format!("Looked for {} and it is not there.", script.display()),
            "Unpack a release of github.com/actions/runner there, or set --runner-folder to where it is.",
        )
        .into());
    }
    let name = match &registration.name {
        Some(name) => name.clone(),
        None => host_name()?,
    };
    let labels = match &registration.labels[..] {
        [] => usual_labels(),
        labels => labels.to_vec(),
    };
    Ok(Ready {
        credential: credential(&registration.credential)?,
        script,
        wanted: Wanted {
            name,
            labels,
            group: registration.group.clone(),
        },
    })
}

fn credential(from: &inputs::Credential) -> anyhow::Result<Credential> {
    match from {
        inputs::Credential::Token(source) => Ok(Credential::Token(secret(source, "the token for GitHub")?)),
        inputs::Credential::App { id, key } => {
            let pem = secret(key, "the private key of the App")?;
            Ok(Credential::App(Box::new(AppKey::parse(id, &pem, &said(key))?)))
        }
    }
}

fn secret(source: &Source, what: &str) -> anyhow::Result<Secret> {
    let unread = |why: String| {
        Problem::new(
            ErrorCode::GithubCredentialMissing,
            format!("Read {what} from {} and got: {why}.", said(source)),
            "Name a file with it by --github-token-file, or by --github-app-key-file with --github-app-id; or set \
             GITHUB_TOKEN.",
        )
    };
    let mut text = String::new();
    let read = match source {
        Source::File(path) => std::fs::read_to_string(path).map(|read| text = read),
        Source::StandardInput => std::io::stdin().lock().read_to_string(&mut text).map(drop),
        Source::Environment => {
            text = env::get(env::GITHUB_TOKEN).unwrap_or_default();
            Ok(())
        }
    };
    read.map_err(|error| unread(error.to_string()))?;
    let secret = Secret::new(text.trim());
    if secret.expose().is_empty() {
        return Err(unread("nothing".into()).into());
    }
    github::mask(&secret);
    Ok(secret)
}

fn said(source: &Source) -> String {
    match source {
        Source::File(path) => path.display().to_string(),
        Source::StandardInput => "standard input".into(),
        Source::Environment => "GITHUB_TOKEN of the environment".into(),
    }
}

fn host_name() -> anyhow::Result<String> {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    anyhow::ensure!(!name.is_empty(), "this machine has no name: set --runner-name");
    Ok(name)
}

/// Those that GitHub gives a runner that is configured by hand.
fn usual_labels() -> Vec<String> {
    let architecture = match std::env::consts::ARCH {
        "aarch64" => "arm64",
        _ => "x64",
    };
    ["self-hosted", "linux", architecture].map(str::to_owned).to_vec()
}

/// Asks GitHub, and puts the runner in the place of this program. Returns only if that fails.
pub fn start(registration: &Registration, ready: Ready, user: &User, until: Instant) -> anyhow::Error {
    let script = ready.script.clone();
    let configuration = match configuration(registration, ready, until) {
        Ok(configuration) => configuration,
        Err(error) => return error,
    };
    let mut command = command(&script, user, &configuration);
    output::finish();
    let error = user.become_it(&mut command);
    error.context(format!("starting {} as {}", script.display(), user.name))
}

fn configuration(registration: &Registration, ready: Ready, until: Instant) -> anyhow::Result<Secret> {
    let place = registration.place.clone();
    let Ready {
        credential, wanted, ..
    } = ready;
    let registered = format!(
        "Registered at GitHub as {} in {place}, with the labels {}",
        wanted.name,
        wanted.labels.join(", ")
    );
    let configuration = guard::block_on(async move {
        let mut guard = Guard::listen()?;
        let asked = async move { runners::just_in_time(&place, &credential, &wanted, until).await };
        match guard.run_until(asked, None).await {
            Ok(done) => done,
            Err(Interrupted::Signal(name)) => Err(anyhow::anyhow!("stopped by {name}")),
            Err(Interrupted::Deadline) => Err(anyhow::anyhow!("out of time")),
        }
    })?;
    say(&registered);
    Ok(configuration)
}

fn command(script: &Path, user: &User, configuration: &Secret) -> Command {
    let mut command = user.command(script);
    if let Some(folder) = script.parent() {
        command.current_dir(folder);
    }
    command.env(JIT_CONFIGURATION, configuration.expose());
    command
}
