//! Logins to registries of ECR: the first is asked for by connect, so that a job hears early of what is denied. From then
//! on docker asks for them, by the credential helper that is named in its config.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context;

use super::job_state::JobState;
use super::sign_in::sign_in;
use crate::aws::{self, Session};
use crate::docker::{Docker, Logins, PROGRAM, Setting};
use crate::inputs::Registries;
use crate::registry::{Realm, Registry};
use crate::report::{Report, say};
use crate::retry::Retrier;
use crate::secret::Secret;
use crate::{env, github};

/// Asks for each password, and keeps them for the helper. `session` is the cluster's, if that is one of EKS.
pub(super) async fn log_in(
    wanted: &Registries,
    session: Option<&Session>,
    selection: &JobState,
    retrier: &Retrier,
    mask: fn(&Secret),
) -> anyhow::Result<Vec<Registry>> {
    let session = match session {
        Some(session) => session.clone(),
        None => sign_in(None, wanted.region.as_deref(), &wanted.identity, retrier, mask).await?,
    };
    let account = if wanted.wanted.iter().any(|wanted| wanted.is_of_caller()) {
        aws::caller_account(&session, retrier).await?
    } else {
        String::new()
    };
    let own = (account.as_str(), session.region.name.as_str());
    let registries: BTreeSet<Registry> = wanted.wanted.iter().map(|wanted| wanted.registry(own)).collect();
    let realms: BTreeSet<&Realm> = registries.iter().map(|registry| &registry.realm).collect();
    // A machine has some from before.
    let mut logins = Logins::read(&selection.logins()).of_key(&session.keys.access_key_id);
    for realm in realms {
        if logins.asked(&realm.to_string(), session.clock.now()).is_some() {
            continue;
        }
        let login = aws::log_in(&session, realm, retrier).await?;
        mask(&login.password);
        logins.keep(&realm.to_string(), login);
    }
    logins.write(&selection.logins())?;
    // With what the answers said of the time.
    session.write(&selection.session())?;
    Ok(registries.into_iter().collect())
}

/// What was logged in to, in words.
pub(super) fn named(registries: &[Registry]) -> String {
    let hosts: Vec<&str> = registries.iter().map(|registry| registry.host.as_str()).collect();
    format!("Logged in to {}", hosts.join(", "))
}

/// Names the helper in docker's config, and puts it on the PATH of the steps that follow.
pub(super) fn register(selection: &JobState, registries: &[Registry]) -> anyhow::Result<()> {
    if registries.is_empty() {
        return Ok(());
    }
    let folder = selection.dir.join("bin");
    link(&folder)?;
    name_in_config(selection, settings(registries))?;
    let text = |path: &Path| path.to_string_lossy().into_owned();
    github::add_path(&text(&folder))?;
    github::export(env::REMOTE_BUILDKIT_SESSION, &text(&selection.dir))?;
    if !github::in_job() {
        say(&format!(
            "For docker to find its credential helper: export PATH=\"{}:$PATH\"",
            folder.display()
        ));
    }
    Ok(())
}

/// What docker's config is to say of them.
pub(super) fn settings(registries: &[Registry]) -> Vec<Setting> {
    let hosts = registries.iter().map(|registry| registry.host.clone());
    hosts.map(Setting::Login).collect()
}

/// Has docker's config say so, where nobody else has seen to it.
pub(super) fn name_in_config(selection: &JobState, settings: Vec<Setting>) -> anyhow::Result<()> {
    for left in Docker::of_user()?.register(&selection.dir, &settings)? {
        match left {
            Setting::Login(host) => {
                Report::detail(&format!("{host} keeps the login that docker's config has"))
            }
            Setting::Build => Report::detail("docker build keeps the alias that docker's config has"),
        }
    }
    Ok(())
}

/// The helper is this program by another name.
fn link(folder: &Path) -> anyhow::Result<()> {
    let program = std::env::current_exe().context("finding this program's own path")?;
    let link = folder.join(PROGRAM);
    std::fs::create_dir(folder)
        .and_then(|()| std::os::unix::fs::symlink(program, &link))
        .with_context(|| format!("making {}", link.display()))
}
