//! `token`: the exec credential plugin of the job's kubeconfig
//! (<https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins>).
//! With keys that are good for a while yet it asks nobody.

use std::path::Path;

use anyhow::Context;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::sign_in;
use crate::aws::{self, Session};
use crate::report::say;

pub fn run(path: &Path) -> anyhow::Result<()> {
    let mut session = Session::read(path)?;
    let now = Timestamp::now();
    if session.needs_renewal(now) {
        session = renewed(session, path, now)?;
    }
    let token = aws::token(&session.keys, &session.cluster, &session.place, now)?;
    say(&json!({
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {
            "expirationTimestamp": token.expires.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "token": token.value.expose(),
        },
    })
    .to_string());
    Ok(())
}

/// A new session, or the old one when it cannot be had and the old one still works.
fn renewed(session: Session, path: &Path, now: Timestamp) -> anyhow::Result<Session> {
    let runtime = super::runtime()?;
    match runtime.block_on(sign_in::renew(&session)) {
        Ok(new) => {
            new.write(path)?;
            Ok(new)
        }
        Err(error) if session.keys.live_for(now, SignedDuration::from_mins(1)) => {
            eprintln!("remote-buildkit: the session was not renewed and is used as it is: {error:#}");
            Ok(session)
        }
        Err(error) => Err(error).context("renewing the AWS session of this job"),
    }
}
