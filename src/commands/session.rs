//! The session of a job or a machine, as a program finds it that was called for a credential.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::Context;
use jiff::{SignedDuration, Timestamp};

use super::sign_in;
use crate::aws::{Identity, Session};
use crate::env;
use crate::retry::Retrier;

/// With keys that are good for a while yet, nobody is asked.
pub(super) fn fresh(path: &Path, deadline: Instant) -> anyhow::Result<Session> {
    let session = Session::read(path)?;
    let now = session.clock.now();
    if session.needs_renewal(now) || other_keys_in_environment(&session) {
        return renewed(session, path, now, deadline);
    }
    Ok(session)
}

/// This program, without arguments yet, in the environment in which the machine signed in; none where that is the one
/// that there is. A job may have set another role, or another endpoint, for itself.
pub(super) fn elsewhere(session: &Session) -> anyhow::Result<Option<Command>> {
    let here = env::of_aws();
    if !matches!(session.identity, Identity::Machine) || here == session.environment {
        return Ok(None);
    }
    let own = std::env::current_exe().context("finding this program's own path")?;
    let mut command = Command::new(own);
    here.keys().for_each(|name| {
        command.env_remove(name);
    });
    command.envs(&session.environment);
    Ok(Some(command))
}

/// A step such as configure-aws-credentials exports temporary keys without their end, so ours look eternal; when it runs
/// again, the environment has the newer ones.
fn other_keys_in_environment(session: &Session) -> bool {
    let kept = session.keys.session_token.as_ref();
    let exported = env::get(env::AWS_SESSION_TOKEN);
    let endless = matches!(session.identity, Identity::Default) && session.keys.expires.is_none();
    endless && exported.is_some_and(|new| kept.is_some_and(|kept| kept.expose() != new))
}

/// A new session, or the old one when it cannot be had and the old one still works.
fn renewed(session: Session, path: &Path, now: Timestamp, deadline: Instant) -> anyhow::Result<Session> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the asynchronous runtime")?;
    // Standard output is for the answer alone.
    let retrier = Retrier::new(deadline, |line| eprintln!("remote-buildkit: {line}"));
    match runtime.block_on(sign_in::renew(&session, &retrier)) {
        Ok(new) => {
            // The keys are good whether or not they can be kept.
            if let Err(error) = new.write(path) {
                eprintln!("remote-buildkit: the session was renewed and not kept: {error:#}");
            }
            Ok(new)
        }
        Err(error) if session.keys.live_for(now, SignedDuration::from_mins(1)) => {
            eprintln!("remote-buildkit: the session was not renewed and is used as it is: {error:#}");
            Ok(session)
        }
        Err(error) => Err(error).context("renewing the AWS session of this job"),
    }
}
