//! `token`: the exec credential plugin of the job's kubeconfig
//! (<https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins>).
//! It sends a request only if the keys expire soon.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::json;

use super::session;
use crate::aws::{self, Session};
use crate::report::print_raw;

/// The timeout of a renewal. Clients wait for the plugin without a timeout.
const RENEWAL_TIMEOUT: Duration = Duration::from_secs(45);

/// Prints a token.
pub fn run(path: &Path) -> anyhow::Result<()> {
    let stored = Session::read(path)?;
    if stored.needs_renewal(stored.clock.now())
        && let Some(mut command) = session::in_machine_environment(&stored)?
    {
        let error = command.args(std::env::args_os().skip(1)).exec();
        return Err(error).context("starting this program again");
    }
    let session = session::fresh(path, Instant::now() + RENEWAL_TIMEOUT)?;
    let cluster = session
        .cluster
        .as_deref()
        .context("the session has no EKS cluster")?;
    let token = aws::token(&session.keys, cluster, &session.region, session.clock.now())?;
    // The client compares the expiry with this machine's clock, not with AWS's.
    let expires = session.clock.to_local(token.expires);
    print_raw(
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
