//! Registers the machine as a just-in-time runner of GitHub, for one job. The runner's configuration is a secret. It
//! is passed in the environment, which only the runner's user and root can read, and which the runner clears before
//! the job starts (actions/runner, CommandSettings.cs). As the argument `--jitconfig` every user of the machine could
//! read it.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::commands::guard::{self, Guard, Interrupted};
use crate::error_code::ErrorCode;
use crate::github::api::runners::{self, GitHubCredential, RunnerSpec};
use crate::github::{self, AppKey};
use crate::inputs::{self, Registration, SecretSource};
use crate::machine::User;
use crate::problem::Problem;
use crate::report::say;
use crate::secret::Secret;
use crate::{env, output};

/// The variable that the runner reads like its argument `--jitconfig`.
const JIT_CONFIGURATION: &str = "ACTIONS_RUNNER_INPUT_JITCONFIG";

/// What registration needs, checked before anything is installed or requested: the credential, and the runner's
/// `run.sh`.
#[derive(Debug)]
pub struct PreparedRegistration {
    credential: GitHubCredential,
    script: PathBuf,
    spec: RunnerSpec,
}

/// Checks that the runner is installed and reads the credential, with the rights of the caller: the runner's user
/// must not be able to read it.
pub fn prepare(registration: &Registration) -> anyhow::Result<PreparedRegistration> {
    let script = registration.dir.join("run.sh");
    if !script.is_file() {
        return Err(Problem::new(
            ErrorCode::RunnerNotInstalled,
            format!("{} does not exist.", script.display()),
            "Unpack a release of github.com/actions/runner there, or set `--runner-dir` to its directory.",
        )
        .into());
    }
    let name = match &registration.name {
        Some(name) => name.clone(),
        None => host_name()?,
    };
    let labels = match &registration.labels[..] {
        [] => default_labels(),
        labels => labels.to_vec(),
    };
    Ok(PreparedRegistration {
        credential: credential(&registration.credential)?,
        script,
        spec: RunnerSpec {
            name,
            labels,
            group: registration.group.clone(),
        },
    })
}

/// Reads the credential.
fn credential(source: &inputs::RegistrationCredential) -> anyhow::Result<GitHubCredential> {
    match source {
        inputs::RegistrationCredential::Token(source) => {
            Ok(GitHubCredential::Token(secret(source, "the GitHub token")?))
        }
        inputs::RegistrationCredential::App { id, key } => {
            let pem = secret(key, "the App's private key")?;
            Ok(GitHubCredential::App(Box::new(AppKey::parse(
                id,
                &pem,
                &source_name(key),
            )?)))
        }
    }
}

/// Reads a secret, and masks it in the log. `what` describes it in an error.
fn secret(source: &SecretSource, what: &str) -> anyhow::Result<Secret> {
    let unreadable = |why: String| {
        Problem::new(
            ErrorCode::GithubCredentialMissing,
            format!("Could not read {what} from {}: {why}.", source_name(source)),
            "Set `--github-token-file`, or `--github-app-id` and `--github-app-key-file`, to a file that contains it; or set the \
             variable GITHUB_TOKEN.",
        )
    };
    let mut text = String::new();
    let read = match source {
        SecretSource::File(path) => std::fs::read_to_string(path).map(|read| text = read),
        SecretSource::StandardInput => std::io::stdin().lock().read_to_string(&mut text).map(drop),
        SecretSource::Environment => {
            text = env::get(env::GITHUB_TOKEN).unwrap_or_default();
            Ok(())
        }
    };
    read.map_err(|error| unreadable(error.to_string()))?;
    let secret = Secret::new(text.trim());
    if secret.expose().is_empty() {
        return Err(unreadable("it is empty".into()).into());
    }
    github::mask(&secret);
    Ok(secret)
}

/// Returns the description of a source, for messages.
fn source_name(source: &SecretSource) -> String {
    match source {
        SecretSource::File(path) => path.display().to_string(),
        SecretSource::StandardInput => "standard input".into(),
        SecretSource::Environment => "the variable GITHUB_TOKEN".into(),
    }
}

/// Returns the host name, which is the default name of the runner.
fn host_name() -> anyhow::Result<String> {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    anyhow::ensure!(
        !name.is_empty(),
        "this machine has no host name: set `--runner-name`"
    );
    Ok(name)
}

/// Returns the labels that GitHub gives a runner that is configured by hand.
fn default_labels() -> Vec<String> {
    let architecture = match std::env::consts::ARCH {
        "aarch64" => "arm64",
        _ => "x64",
    };
    ["self-hosted", "linux", architecture].map(str::to_owned).to_vec()
}

/// Registers the runner and replaces this process with it. Returns only on failure.
pub fn start(
    registration: &Registration,
    prepared: PreparedRegistration,
    user: &User,
    until: Instant,
) -> anyhow::Error {
    let script = prepared.script.clone();
    let configuration = match configuration(registration, prepared, until) {
        Ok(configuration) => configuration,
        Err(error) => return error,
    };
    let mut command = command(&script, user, &configuration);
    output::finish();
    let error = user.exec(&mut command);
    error.context(format!("starting {} as {}", script.display(), user.name))
}

/// Registers the runner, and returns its configuration.
fn configuration(
    registration: &Registration,
    prepared: PreparedRegistration,
    until: Instant,
) -> anyhow::Result<Secret> {
    let scope = registration.scope.clone();
    let PreparedRegistration { credential, spec, .. } = prepared;
    let message = format!(
        "Registered the GitHub runner {} in {scope} with the labels {}",
        spec.name,
        spec.labels.join(", ")
    );
    let configuration = guard::block_on(async move {
        let mut guard = Guard::listen()?;
        let registration = async move { runners::just_in_time(&scope, &credential, &spec, until).await };
        match guard.run_until(registration, None).await {
            Ok(result) => result,
            Err(Interrupted::Signal(name)) => Err(guard::stopped_by(name).into()),
            Err(Interrupted::Deadline) => Err(anyhow::anyhow!("out of time")),
        }
    })?;
    say(&message);
    Ok(configuration)
}

/// Returns the command that starts the runner.
fn command(script: &Path, user: &User, configuration: &Secret) -> Command {
    let mut command = user.command(script);
    if let Some(dir) = script.parent() {
        command.current_dir(dir);
    }
    command.env(JIT_CONFIGURATION, configuration.expose());
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::github::RunnerScope;

    #[test]
    fn errors_before_registration() {
        let dir = tempfile::tempdir().expect("a directory");
        let registration = Registration {
            scope: RunnerScope::parse("https://github.com/acme").expect("a scope"),
            credential: inputs::RegistrationCredential::Token(SecretSource::File("/absent/token".into())),
            name: Some("i-0abc".into()),
            labels: vec![],
            group: None,
            dir: dir.path().to_owned(),
        };
        let not_installed = prepare(&registration).expect_err("no run.sh").to_string();
        std::fs::write(dir.path().join("run.sh"), "").expect("a file");
        let no_token = prepare(&registration).expect_err("no token").to_string();
        let text = [not_installed, no_token].join("\n\n");
        insta::assert_snapshot!(text.replace(&*dir.path().to_string_lossy(), "/opt/actions-runner"));
    }
}
