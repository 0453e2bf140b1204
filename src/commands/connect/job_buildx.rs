//! The buildx of the job: the installed one, or a release in the job's directory, which `disconnect` removes.
//!
//! docker finds the release through `cliPluginsExtraDirs` of its config, which it searches before all other directories.
//! `DOCKER_CONFIG` stays, because it has the logins.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::buildx::known_issues::{self, VersionIssues};
use crate::buildx::release::{self, Release};
use crate::buildx::{self, BuildxDecision, BuildxVersion, InstalledBuildx, PLUGIN};
use crate::commands::buildx_release;
use crate::commands::job_state::JobState;
use crate::docker::{DockerConfig, Setting};
use crate::error_code::ErrorCode;
use crate::inputs::Plan;
use crate::machine::InstallManifest;
use crate::problem::Problem;
use crate::report::{Report, say};
use crate::retry::Retrier;
use crate::{files, github};

/// How long `buildx version` may take.
const VERSION_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a download may take if the installed buildx can be used instead.
const DOWNLOAD_TIMEOUT: Duration = Duration::from_secs(60);

/// A buildx that was installed for the job.
#[derive(Debug)]
pub(super) struct JobBuildx {
    /// The directory with the program, as docker's plugin and as the standalone `buildx`.
    dir: PathBuf,
}

/// Checks that buildx is installed, unless `connect` may install it.
pub(super) fn check(plan: &Plan) -> Result<(), Problem> {
    match required(plan) {
        BuildxVersion::System => buildx::check_installed(),
        BuildxVersion::Auto | BuildxVersion::Exact { .. } => Ok(()),
    }
}

/// Returns which buildx the command needs. Outside of a job, only a user's own request installs one.
fn required(plan: &Plan) -> &BuildxVersion {
    match &plan.buildx.version {
        BuildxVersion::Auto if !github::in_job() => &BuildxVersion::System,
        version => version,
    }
}

/// Installs buildx for the job if the installed one is not good enough. Nothing uses it until [`JobBuildx::settings`] are
/// in docker's config.
pub(super) async fn prepare(
    plan: Arc<Plan>,
    job_state: Arc<JobState>,
    deadline: Instant,
    report: Report,
) -> anyhow::Result<Option<JobBuildx>> {
    let installed = installed(&job_state).await?;
    match buildx::decide(required(&plan), &installed) {
        BuildxDecision::Keep => Ok(None),
        BuildxDecision::KeepWithWarning(issues) => {
            warn(known_bugs(&installed, &issues));
            Ok(None)
        }
        BuildxDecision::Install {
            release,
            fallback: None,
        } => {
            let retrier = Retrier::new(deadline, Report::retry);
            let buildx = install(&plan, &job_state, &release, &retrier, &report).await;
            buildx
                .map(Some)
                .map_err(|error| without_fallback(error, &installed))
        }
        BuildxDecision::Install {
            release,
            fallback: Some(issues),
        } => {
            let deadline = deadline.min(Instant::now() + DOWNLOAD_TIMEOUT);
            let retrier = Retrier::new(deadline, Report::retry);
            let install = install(&plan, &job_state, &release, &retrier, &report);
            let buildx = tokio::time::timeout_at(deadline.into(), install).await;
            let error = match buildx {
                Ok(Ok(buildx)) => return Ok(Some(buildx)),
                Ok(Err(error)) => error,
                Err(_) => timed_out(retrier.last_error()).into(),
            };
            warn(not_installed(error, &installed, &issues));
            Ok(None)
        }
    }
}

/// Returns the installed buildx, by what `buildx version` prints. That of another job of this user does not count,
/// because it is removed when that job ends.
async fn installed(job_state: &JobState) -> anyhow::Result<InstalledBuildx> {
    let of_jobs = DockerConfig::of_user().map(|docker| docker.plugin_dirs());
    let Some(program) = buildx::installed_program(&of_jobs.unwrap_or_default()) else {
        return Ok(InstalledBuildx::Missing);
    };
    let dir = files::private_dir(&job_state.dir, "buildx-version")?;
    let printed = tokio::time::timeout(VERSION_TIMEOUT, buildx::version_of(program, &dir)).await;
    std::fs::remove_dir_all(&dir).with_context(|| format!("removing {}", dir.display()))?;
    Ok(match printed {
        Ok(Ok(printed)) => InstalledBuildx::Version(known_issues::version(&printed).to_owned()),
        Ok(Err(error)) => InstalledBuildx::Broken(format!("{error:#}")),
        Err(_) => InstalledBuildx::Broken(format!(
            "buildx version did not finish within {} s",
            VERSION_TIMEOUT.as_secs()
        )),
    })
}

/// Downloads a release into the job's directory.
async fn install(
    plan: &Plan,
    job_state: &JobState,
    release: &Release,
    retrier: &Retrier,
    report: &Report,
) -> anyhow::Result<JobBuildx> {
    if buildx::has_docker_cli() {
        DockerConfig::of_user()?.check()?;
    }
    let source = release::source(std::env::consts::ARCH, release, plan.buildx.mirror.as_ref())?;
    let mut file = buildx_release::download(&source, retrier).await?;
    let dir = job_state.buildx();
    let program = dir.join(PLUGIN);
    let link = dir.join("buildx");
    let mut manifest = InstallManifest::read(&job_state.dir.join("programs.json"))?;
    let install = move || -> anyhow::Result<String> {
        let mut version = String::new();
        manifest.install_program(&program, &mut file, |new| {
            version = printed_version(new).map_err(|error| buildx_release::not_buildx(&source, &error))?;
            Ok(())
        })?;
        manifest.create_link(&link, PLUGIN.as_ref())?;
        Ok(version)
    };
    let version = tokio::task::spawn_blocking(install).await;
    let version = version.context("installing buildx")??;
    report.done(&format!("Installed buildx {version} for this job"));
    Ok(JobBuildx { dir })
}

/// Returns the version that a program prints.
fn printed_version(program: &std::path::Path) -> anyhow::Result<String> {
    let mut command = std::process::Command::new(program);
    let output = command.arg("version").stdin(std::process::Stdio::null()).output();
    let printed = buildx_release::printed_version(program, output.map_err(Into::into))?;
    Ok(known_issues::version(&printed).to_owned())
}

impl JobBuildx {
    /// Returns the settings of docker's config that make docker use this buildx.
    pub(super) fn settings(&self) -> Vec<Setting> {
        let dir = self.dir.to_string_lossy().into_owned();
        buildx::has_docker_cli()
            .then_some(Setting::PluginDir(dir))
            .into_iter()
            .collect()
    }

    /// Puts the standalone `buildx` on the PATH of the later steps.
    pub(super) fn add_to_path(&self) -> anyhow::Result<()> {
        github::add_path(&self.dir.to_string_lossy())?;
        if !github::in_job() && !buildx::has_docker_cli() {
            say(&format!(
                "So that buildx is found: export PATH=\"{}:$PATH\"",
                self.dir.display()
            ));
        }
        Ok(())
    }
}

/// Prints a warning, and annotates the run with it.
fn warn(problem: Problem) {
    github::warn(&problem);
    Report::detail(&format!("warning: {} {}", problem.what, problem.remedy));
}

/// Returns the installed buildx in words.
fn described(installed: &InstalledBuildx) -> String {
    match installed {
        InstalledBuildx::Missing => "No buildx is installed on this runner.".into(),
        InstalledBuildx::Broken(reason) => format!("The installed buildx does not run: {reason}."),
        InstalledBuildx::Version(version) => format!("The installed buildx is {version}."),
    }
}

/// Returns the warning for an installed buildx that stays although it has known bugs.
fn known_bugs(installed: &InstalledBuildx, issues: &VersionIssues) -> Problem {
    let pinned = release::tag(release::VERSION);
    let remedy = if github::in_job() {
        format!(
            "Remove `buildx-version: system`, so that the job gets buildx {pinned}, or update the runner's image."
        )
    } else {
        format!(
            "Update buildx, or set `buildx-version: {}`.",
            pinned.trim_start_matches('v')
        )
    };
    let what = format!("{} Known bugs: it {}.", described(installed), issues.what);
    Problem::new(ErrorCode::BuildxKnownBugs, what, remedy)
}

/// Returns the warning for a failed installation, after which the installed buildx is used.
fn not_installed(error: anyhow::Error, installed: &InstalledBuildx, issues: &VersionIssues) -> Problem {
    let problem = match error.downcast::<Problem>() {
        Ok(problem) => problem,
        Err(error) => Problem::new(ErrorCode::InstallFailed, format!("{error:#}."), ""),
    };
    problem.with_sentence(&format!(
        "{} The job uses it, although it {}.",
        described(installed),
        issues.what
    ))
}

/// Returns the error for a failed installation without which the job has no buildx that works.
fn without_fallback(error: anyhow::Error, installed: &InstalledBuildx) -> anyhow::Error {
    crate::problem::annotate(error, described(installed))
}

/// Returns the error of a download that takes too long.
fn timed_out(last_error: Option<Problem>) -> Problem {
    last_error.unwrap_or_else(|| {
        let what = format!(
            "The download of buildx did not finish within {} s.",
            DOWNLOAD_TIMEOUT.as_secs()
        );
        let remedy =
            "Check this machine's network access, or set `buildx-url` to a mirror. Nothing was installed.";
        Problem::new(ErrorCode::DownloadFailed, what, remedy)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings() {
        let old = InstalledBuildx::Version("v0.36.1".into());
        let issues = known_issues::of_version("v0.36.1").expect("a bug");
        let download = Problem::new(
            ErrorCode::DownloadFailed,
            "Could not download buildx v1.2.3 from https://mirror.example: 503.",
            "Check this machine's network access.",
        );
        let texts = [
            known_bugs(&old, &issues).to_string(),
            not_installed(download.clone().into(), &old, &issues).to_string(),
            not_installed(anyhow::anyhow!("creating /tmp/x: No space left"), &old, &issues).to_string(),
            timed_out(None).to_string(),
            without_fallback(download.clone().into(), &InstalledBuildx::Missing).to_string(),
            without_fallback(
                download.into(),
                &InstalledBuildx::Broken("exit status: 127".into()),
            )
            .to_string(),
        ];
        insta::assert_snapshot!(texts.join("\n\n"));
    }
}
