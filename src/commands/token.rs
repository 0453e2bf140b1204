//! `token`: the exec credential plugin of the job's kubeconfig
//! (<https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins>).
//! With keys that are good for a while yet it asks nobody.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::sign_in;
use crate::aws::{self, Identity, Session};
use crate::env;
use crate::report::verbatim;
use crate::retry::Tries;

pub fn run(path: &Path) -> anyhow::Result<()> {
    let mut session = Session::read(path)?;
    let now = session.clock.now();
    if session.needs_renewal(now) || other_keys_in_environment(&session) {
        session = renewed(session, path, now)?;
    }
    let cluster = session
        .cluster
        .as_deref()
        .context("the session is for no cluster of EKS")?;
    let token = aws::token(&session.keys, cluster, &session.place, session.clock.now())?;
    // Whoever called compares it with the clock of this machine.
    let expires = session.clock.here(token.expires);
    verbatim(
        &json!({
            "apiVersion": "client.authentication.k8s.io/v1",
            "kind": "ExecCredential",
            "status": {
                "expirationTimestamp": expires.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
                "token": token.value.expose(),
            },
        })
        .to_string(),
    )
}

/// A step such as configure-aws-credentials exports temporary keys without their end, so ours look eternal; when it runs
/// again, the environment has the newer ones.
fn other_keys_in_environment(session: &Session) -> bool {
    let kept = session.keys.session_token.as_ref();
    let exported = env::get(env::AWS_SESSION_TOKEN);
    let endless = matches!(session.identity, Identity::Default) && session.keys.expires.is_none();
    endless && exported.is_some_and(|new| kept.is_some_and(|kept| kept.expose() != new))
}

/// Whoever calls the plugin waits for it without a bound of its own.
const RENEWED_WITHIN: Duration = Duration::from_secs(45);

/// A new session, or the old one when it cannot be had and the old one still works.
fn renewed(session: Session, path: &Path, now: Timestamp) -> anyhow::Result<Session> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the asynchronous runtime")?;
    // Standard output is for the credential alone.
    let tries = Tries::until(Instant::now() + RENEWED_WITHIN, |line| {
        eprintln!("remote-buildkit: {line}")
    });
    match runtime.block_on(sign_in::renew(&session, &tries)) {
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
