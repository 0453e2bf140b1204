//! docker's credential helper for ECR: this program, when it is called `docker-credential-remote-buildkit`. The answer is
//! on standard output, an error too.

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
use crate::docker::protocol::{self, Request};
use crate::docker::{Docker, Logins, PROGRAM};
use crate::registry::{Login, Registry};
use crate::report::verbatim;
use crate::retry::Retrier;
use crate::{env, problem};

/// buildx waits for a helper without a bound of its own.
const WITHIN: Duration = Duration::from_secs(45);

/// Whether the program was called as the helper.
pub fn is_called(program: &OsStr) -> bool {
    Path::new(program).file_name() == Some(OsStr::new(PROGRAM))
}

pub fn run(action: Option<&str>) -> ExitCode {
    let (text, code) = match answer(action.unwrap_or_default()) {
        Ok(text) => (text, ExitCode::SUCCESS),
        Err(text) => (text, ExitCode::FAILURE),
    };
    match verbatim(&text) {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}

fn answer(action: &str) -> Result<String, String> {
    let mut input = String::new();
    // `list` and `version` are asked without any.
    if ["get", "store", "erase"].contains(&action) {
        let read = std::io::stdin().lock().read_to_string(&mut input);
        read.map_err(|error| format!("reading standard input: {error}"))?;
    }
    let in_one_line = |error: anyhow::Error| problem::in_one_line(&error);
    match Request::parse(action, &input)? {
        Request::Get(host) => get(&host)
            .map_err(in_one_line)?
            .ok_or_else(|| protocol::NOT_FOUND.to_owned()),
        Request::Store(given) => {
            let job = Job::of(&given.host).ok_or_else(|| no_session(&given.host))?;
            let mut logins = job.logins();
            logins.give(&given.host, &given.user, &given.secret, job.now());
            logins.write(&job.logins_path()).map_err(in_one_line)?;
            Ok(String::new())
        }
        Request::Erase(host) => {
            if let Some(job) = Job::of(&host) {
                let mut logins = job.logins();
                logins.forget(&host);
                logins.write(&job.logins_path()).map_err(in_one_line)?;
            }
            Ok(String::new())
        }
        Request::List => Ok(protocol::list(&users())),
        Request::Version => Ok(format!(
            "{PROGRAM} (remote-buildkit) v{}",
            env!("CARGO_PKG_VERSION")
        )),
    }
}

fn no_session(host: &str) -> String {
    format!(
        "remote-buildkit is not connected, or not for {host}: its login cannot be kept; remove {host} from credHelpers in \
         docker's config"
    )
}

/// What a step gave for the host, or else what ECR gave, now or a while ago.
fn get(host: &str) -> anyhow::Result<Option<String>> {
    let Some(job) = Job::of(host) else {
        return Ok(None);
    };
    let logins = job.logins();
    let answer = |login: &Login| protocol::login(host, &login.user, &login.password);
    if let Some(given) = logins.given(host, job.now()) {
        return Ok(Some(answer(given)));
    }
    let Some(registry) = Registry::parse(host) else {
        return Ok(None);
    };
    let realm = registry.realm.to_string();
    if let Some(asked) = logins.asked(&realm, job.now()) {
        return Ok(Some(answer(asked)));
    }
    if let Some(session) = &job.session
        && let Some(command) = session::in_machine_environment(session)?
    {
        return by_another(command, host).map(Some);
    }
    match ask(&job, &registry) {
        Ok(login) => {
            let answer = answer(&login);
            // With what a step has given meanwhile.
            let mut logins = job.logins();
            logins.keep(&realm, login);
            // It is good whether or not it can be kept.
            if let Err(error) = logins.write(&job.logins_path()) {
                eprintln!("remote-buildkit: the login is not kept: {error:#}");
            }
            Ok(Some(answer))
        }
        Err(error) => match logins.asked_last(&realm, job.now() + SignedDuration::from_mins(1)) {
            Some(last) => {
                eprintln!("remote-buildkit: the login was not renewed and is used as it is: {error:#}");
                Ok(Some(answer(last)))
            }
            None => Err(error),
        },
    }
}

/// The answer of this program in another environment.
fn by_another(mut command: Command, host: &str) -> anyhow::Result<String> {
    command.arg0(PROGRAM).arg("get");
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().context("starting this program once more")?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(host.as_bytes()).context("telling it the host")?;
    }
    let output = child.wait_with_output().context("reading its answer")?;
    let answer = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
    anyhow::ensure!(output.status.success(), answer);
    Ok(answer)
}

fn ask(job: &Job, registry: &Registry) -> anyhow::Result<Login> {
    let deadline = Instant::now() + WITHIN;
    let session = session::fresh(&job.selection.session(), deadline)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the asynchronous runtime")?;
    let retrier = Retrier::new(deadline, |line| eprintln!("remote-buildkit: {line}"));
    runtime.block_on(aws::log_in(&session, &registry.realm, &retrier))
}

fn users() -> BTreeMap<String, String> {
    let hosts = Docker::of_user().map(|docker| docker.hosts()).unwrap_or_default();
    let user = |host: &String| {
        let job = Job::of(host)?;
        let given = job
            .logins()
            .given(host, job.now())
            .map(|given| given.user.clone());
        Some(given.unwrap_or_else(|| "AWS".into()))
    };
    let users = hosts
        .into_iter()
        .filter_map(|host| Some((host.clone(), user(&host)?)));
    users.collect()
}

/// The folder of whoever registered the host: the job that this is a part of, another one, or the machine. Where nobody
/// did, somebody has named the helper by hand, and the job is who is meant.
fn folder_of(host: &str) -> Option<PathBuf> {
    let job = env::path(env::REMOTE_BUILDKIT_SESSION).filter(|folder| folder.exists());
    let docker = Docker::of_user().ok();
    let registered = |folder: &PathBuf| {
        let docker = docker.as_ref();
        docker.is_some_and(|docker| docker.is_user_of(folder, host))
    };
    job.clone()
        .filter(registered)
        .or_else(|| docker.as_ref()?.user_of(host))
        .or(job)
}

/// The connected job, or machine, that a host is asked for.
struct Job {
    selection: JobState,
    session: Option<Session>,
}

impl Job {
    fn of(host: &str) -> Option<Self> {
        let selection = JobState::without_builder(folder_of(host)?);
        let session = Session::read(&selection.session()).ok();
        Some(Self { selection, session })
    }

    fn logins_path(&self) -> PathBuf {
        self.selection.logins()
    }

    fn logins(&self) -> Logins {
        Logins::read(&self.logins_path())
    }

    /// AWS's time, as the ends of logins are.
    fn now(&self) -> jiff::Timestamp {
        let session = self.session.as_ref();
        session.map_or_else(jiff::Timestamp::now, |session| session.clock.now())
    }
}
