//! Reads the AWS session of a job or a machine for a program that was called for a credential, and renews it.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::Context;
use jiff::{SignedDuration, Timestamp};

use super::sign_in;
use crate::aws::{Identity, Session};
use crate::env;
use crate::retry::Retrier;

/// Returns the session, renewed if its keys expire soon.
pub(super) fn fresh(path: &Path, deadline: Instant) -> anyhow::Result<Session> {
    let session = Session::read(path)?;
    let now = session.clock.now();
    if session.needs_renewal(now) || other_keys_in_environment(&session) {
        return renewed(session, path, now, deadline);
    }
    Ok(session)
}

/// Returns a command of this program, without arguments, in the environment in which the machine signed in, or `None` if
/// that is the current environment. A job may have set another role or endpoint for itself.
pub(super) fn in_machine_environment(session: &Session) -> anyhow::Result<Option<Command>> {
    let current = env::of_aws();
    if !matches!(session.identity, Identity::Machine) || current == session.environment {
        return Ok(None);
    }
    let own = std::env::current_exe().context("locating the remote-buildkit executable")?;
    let mut command = Command::new(own);
    current.keys().for_each(|name| {
        command.env_remove(name);
    });
    command.envs(&session.environment);
    Ok(Some(command))
}

/// Returns whether the environment has newer keys. A step such as configure-aws-credentials exports temporary keys without
/// their expiration, so ours seem to be permanent; when that step runs again, the environment has the new ones.
fn other_keys_in_environment(session: &Session) -> bool {
    let kept = session.keys.session_token.as_ref();
    let exported = env::get(env::AWS_SESSION_TOKEN);
    let without_expiration = matches!(session.identity, Identity::Default) && session.keys.expires.is_none();
    without_expiration && exported.is_some_and(|new| kept.is_some_and(|kept| kept.expose() != new))
}

/// Returns a new session, or the current one if that fails and its keys are still valid.
fn renewed(session: Session, path: &Path, now: Timestamp, deadline: Instant) -> anyhow::Result<Session> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the asynchronous runtime")?;
    // Standard output is only for the credential.
    let retrier = Retrier::new(deadline, |line| eprintln!("remote-buildkit: {line}"));
    match runtime.block_on(sign_in::renew(&session, &retrier)) {
        Ok(new) => {
            // The keys are valid even if they cannot be saved.
            if let Err(error) = new.write(path) {
                eprintln!("remote-buildkit: could not save the renewed AWS session: {error:#}");
            }
            Ok(new)
        }
        Err(error) if session.keys.valid_for(now, SignedDuration::from_mins(1)) => {
            eprintln!(
                "remote-buildkit: could not renew the AWS session, and uses the current one: {error:#}"
            );
            Ok(session)
        }
        Err(error) => Err(error).context("renewing the AWS session of this job"),
    }
}
