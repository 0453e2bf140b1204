//! Logins to ECR registries. `connect` requests the first one, so that a denied login fails the job early. Later ones
//! are requested by the credential helper in docker's config.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::job_state::JobState;
use super::sign_in::sign_in;
use crate::aws::{self, Session};
use crate::docker::{CredentialCache, DockerConfig, PROGRAM, Setting};
use crate::inputs::Registries;
use crate::registry::{Realm, Registry};
use crate::report::{Report, say};
use crate::retry::Retrier;
use crate::secret::Secret;
use crate::{env, github};

/// Requests each password, and caches it for the helper. `session` is the EKS cluster's session, if there is one.
pub(super) async fn log_in(
    ecr: &Registries,
    session: Option<&Session>,
    job_state: &JobState,
    retrier: &Retrier,
    mask: fn(&Secret),
) -> anyhow::Result<Vec<Registry>> {
    let session = match session {
        Some(session) => session.clone(),
        None => sign_in(None, ecr.region.as_deref(), &ecr.identity, retrier, mask).await?,
    };
    let account = if ecr.selectors.iter().any(|selector| selector.needs_account()) {
        aws::caller_account(&session, retrier).await?
    } else {
        String::new()
    };
    let own = (account.as_str(), session.region.name.as_str());
    let registries: BTreeSet<Registry> = ecr
        .selectors
        .iter()
        .map(|selector| selector.registry(own))
        .collect();
    let realms: BTreeSet<&Realm> = registries.iter().map(|registry| &registry.realm).collect();
    // On a machine, the cache may have logins from earlier runs.
    let mut logins = CredentialCache::read(&job_state.logins()).for_access_key(&session.keys.access_key_id);
    for realm in realms {
        if logins
            .ecr_login(&realm.to_string(), session.clock.now())
            .is_some()
        {
            continue;
        }
        let login = aws::log_in(&session, realm, retrier).await?;
        mask(&login.password);
        logins.insert_ecr(&realm.to_string(), login);
    }
    logins.write(&job_state.logins())?;
    // ECR's responses may have corrected the session's clock.
    session.write(&job_state.session())?;
    Ok(registries.into_iter().collect())
}

/// Returns the log line of the logins.
pub(super) fn named(registries: &[Registry]) -> String {
    let hosts: Vec<&str> = registries.iter().map(|registry| registry.host.as_str()).collect();
    format!("Logged in to {}", hosts.join(", "))
}

/// Puts the credential helper on the PATH of the later steps. Docker's config has its name already.
pub(super) fn register(job_state: &JobState, registries: &[Registry]) -> anyhow::Result<()> {
    if registries.is_empty() {
        return Ok(());
    }
    let dir = add_to_path(job_state, &["remote-buildkit", PROGRAM])?;
    github::export(env::REMOTE_BUILDKIT_SESSION, &job_state.dir.to_string_lossy())?;
    if !github::in_job() {
        say(&format!(
            "So that docker finds its credential helper: export PATH=\"{}:$PATH\"",
            dir.display()
        ));
    }
    Ok(())
}

/// Puts this program on the PATH of the later steps, as `remote-buildkit`.
pub(super) fn add_program_to_path(job_state: &JobState) -> anyhow::Result<()> {
    add_to_path(job_state, &["remote-buildkit"]).map(drop)
}

/// Puts this program on the PATH of the later steps under these names, in the job's own directory, which disconnect
/// removes.
fn add_to_path(job_state: &JobState, names: &[&str]) -> anyhow::Result<PathBuf> {
    let dir = job_state.dir.join("bin");
    create_links(&dir, names)?;
    github::add_path(&dir.to_string_lossy())?;
    Ok(dir)
}

/// Returns the settings in docker's config that registries need.
pub(super) fn settings(registries: &[Registry]) -> Vec<Setting> {
    let hosts = registries.iter().map(|registry| registry.host.clone());
    hosts.map(Setting::Login).collect()
}

/// Adds settings to docker's config. Those that the user has set differently stay, and are logged.
pub(super) fn add_to_config(job_state: &JobState, settings: Vec<Setting>) -> anyhow::Result<()> {
    if settings.is_empty() {
        return Ok(());
    }
    for existing in DockerConfig::of_user()?.acquire(&job_state.dir, &settings)? {
        match existing {
            Setting::Login(host) => {
                Report::detail(&format!("{host} keeps the login that docker's config has"))
            }
            Setting::Build => Report::detail("docker's config keeps its alias for docker build"),
            // A list has room for both.
            Setting::PluginDir(_) => {}
        }
    }
    Ok(())
}

/// Creates a directory with links to this program under these names.
fn create_links(dir: &Path, names: &[&str]) -> anyhow::Result<()> {
    let program = std::env::current_exe().context("could not find this program's own path")?;
    let link = |name| std::os::unix::fs::symlink(&program, dir.join(name));
    std::fs::create_dir(dir)
        .and_then(|()| names.iter().try_for_each(link))
        .with_context(|| format!("could not create links in {}", dir.display()))
}
