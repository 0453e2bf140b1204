//! docker's credential helper for ECR: this program, when it is called as `docker-credential-remote-buildkit`.
//! Responses, including errors, are printed to standard output.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use jiff::SignedDuration;

use super::job_state::JobState;
use super::session;
use crate::aws::{self, Session};
use crate::docker::protocol::{self, HelperRequest, ProtocolError};
use crate::docker::{CredentialCache, DockerConfig, PROGRAM};
use crate::registry::{Login, Registry};
use crate::report::print_raw;
use crate::retry::Retrier;
use crate::{env, problem};

/// The timeout of a renewal. buildx itself waits for a helper without a timeout.
const RENEWAL_TIMEOUT: Duration = Duration::from_secs(45);

/// Returns whether the program was called as the helper.
pub fn is_called(program: &OsStr) -> bool {
    Path::new(program).file_name() == Some(OsStr::new(PROGRAM))
}

/// Runs the helper.
pub fn run(action: Option<&str>) -> ExitCode {
    let (text, code) = match respond(action.unwrap_or_default()) {
        Ok(text) => (text, ExitCode::SUCCESS),
        Err(error) => (problem::in_one_line(&error), ExitCode::FAILURE),
    };
    match print_raw(&text) {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Returns the response to an action. The text of an error is a response as well.
fn respond(action: &str) -> anyhow::Result<String> {
    let mut input = String::new();
    // `list` and `version` have no input.
    if ["get", "store", "erase"].contains(&action) {
        let read = std::io::stdin().lock().read_to_string(&mut input);
        read.context("reading standard input")?;
    }
    match HelperRequest::parse(action, &input)? {
        HelperRequest::Get(host) => Ok(get(&host)?.ok_or(ProtocolError::NotFound)?),
        HelperRequest::Store(login) => {
            let job = Holder::find(&login.host).with_context(|| no_session(&login.host))?;
            let mut logins = job.logins();
            logins.store(&login.host, &login.user, &login.secret, job.now());
            logins.write(&job.logins_path())?;
            Ok(String::new())
        }
        HelperRequest::Erase(host) => {
            if let Some(job) = Holder::find(&host) {
                let mut logins = job.logins();
                logins.erase(&host);
                logins.write(&job.logins_path())?;
            }
            Ok(String::new())
        }
        HelperRequest::List => Ok(protocol::list(&users())),
        HelperRequest::Version => Ok(format!(
            "{PROGRAM} (remote-buildkit) v{}",
            env!("CARGO_PKG_VERSION")
        )),
    }
}

/// Returns the error for a login that cannot be stored.
fn no_session(host: &str) -> String {
    format!(
        "remote-buildkit has no connected job for {host} and cannot store its login: remove {host} from credHelpers in docker's \
         config"
    )
}

/// Returns the login of a host: the one that a step stored, or else ECR's, cached or new.
fn get(host: &str) -> anyhow::Result<Option<String>> {
    let Some(job) = Holder::find(host) else {
        return Ok(None);
    };
    let logins = job.logins();
    let response = |login: &Login| protocol::login(host, &login.user, &login.password);
    if let Some(stored) = logins.stored_login(host, job.now()) {
        return Ok(Some(response(stored)));
    }
    let Some(registry) = Registry::parse(host) else {
        return Ok(None);
    };
    let realm = registry.realm.to_string();
    if let Some(cached) = logins.ecr_login(&realm, job.now()) {
        return Ok(Some(response(cached)));
    }
    if let Some(session) = &job.session
        && let Some(command) = session::in_machine_environment(session)?
    {
        return run_helper(command, host).map(Some);
    }
    match request_login(&job, &registry) {
        Ok(login) => {
            let response = response(&login);
            // Read again: a step may have stored a login meanwhile.
            let mut logins = job.logins();
            logins.insert_ecr(&realm, login);
            // The login is valid even if it cannot be cached.
            if let Err(error) = logins.write(&job.logins_path()) {
                eprintln!("remote-buildkit: could not cache the login: {error:#}");
            }
            Ok(Some(response))
        }
        Err(error) => match logins.last_ecr_login(&realm, job.now() + SignedDuration::from_mins(1)) {
            Some(last) => {
                eprintln!("remote-buildkit: could not renew the login, and uses the current one: {error:#}");
                Ok(Some(response(last)))
            }
            None => Err(error),
        },
    }
}

/// Runs this program again with the environment of `command`, and returns its response.
fn run_helper(mut command: Command, host: &str) -> anyhow::Result<String> {
    command.arg0(PROGRAM).arg("get");
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().context("starting this program again")?;
    if let Some(mut input) = child.stdin.take() {
        input
            .write_all(host.as_bytes())
            .context("writing the host to it")?;
    }
    let output = child.wait_with_output().context("reading its response")?;
    let response = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
    anyhow::ensure!(output.status.success(), response);
    Ok(response)
}

/// Requests a login from ECR.
fn request_login(job: &Holder, registry: &Registry) -> anyhow::Result<Login> {
    let deadline = Instant::now() + RENEWAL_TIMEOUT;
    let session = session::fresh(&job.job_state.session(), deadline)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the asynchronous runtime")?;
    let retrier = Retrier::new(deadline, |line| eprintln!("remote-buildkit: {line}"));
    runtime.block_on(aws::log_in(&session, &registry.realm, &retrier))
}

/// Returns the hosts with a login, and the user of each.
fn users() -> BTreeMap<String, String> {
    let hosts = DockerConfig::of_user()
        .map(|docker| docker.hosts())
        .unwrap_or_default();
    let user = |host: &String| {
        let job = Holder::find(host)?;
        let stored = job
            .logins()
            .stored_login(host, job.now())
            .map(|stored| stored.user.clone());
        Some(stored.unwrap_or_else(|| "AWS".into()))
    };
    let users = hosts
        .into_iter()
        .filter_map(|host| Some((host.clone(), user(&host)?)));
    users.collect()
}

/// Returns the directory of the holder of the host's setting: this job, another one, or the machine. If there is
/// none, the helper was configured by hand, and this job is used.
fn holder_dir(host: &str) -> Option<PathBuf> {
    let job = env::path(env::REMOTE_BUILDKIT_SESSION).filter(|dir| dir.exists());
    let docker = DockerConfig::of_user().ok();
    let is_holder = |dir: &PathBuf| {
        let docker = docker.as_ref();
        docker.is_some_and(|docker| docker.is_held_by(dir, host))
    };
    job.clone()
        .filter(is_holder)
        .or_else(|| docker.as_ref()?.holder_of(host))
        .or(job)
}

/// The connected job, or machine, whose session provides a host's login.
struct Holder {
    job_state: JobState,
    session: Option<Session>,
}

impl Holder {
    /// Returns the holder of a host.
    fn find(host: &str) -> Option<Self> {
        let job_state = JobState::without_builder(holder_dir(host)?);
        let session = Session::read(&job_state.session()).ok();
        Some(Self { job_state, session })
    }

    fn logins_path(&self) -> PathBuf {
        self.job_state.logins()
    }

    fn logins(&self) -> CredentialCache {
        CredentialCache::read(&self.logins_path())
    }

    /// Returns the current time by AWS's clock, which the expiry of logins refers to.
    fn now(&self) -> jiff::Timestamp {
        let session = self.session.as_ref();
        session.map_or_else(jiff::Timestamp::now, |session| session.clock.now())
    }
}
