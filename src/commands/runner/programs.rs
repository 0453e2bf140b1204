//! Installs programs: buildx, if no recent enough one is installed, and this program.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::buildx::{InstalledPrograms, PLUGIN, known_issues, release};
use crate::commands::{buildx_release, guard};
use crate::docker::PROGRAM;
use crate::download::DownloadSource;
use crate::inputs::Programs;
use crate::machine::{Change, InstallManifest, InstallPaths, User};
use crate::report::{Report, say};
use crate::retry::Retrier;
use crate::{env, github};

/// Directories that are searched for programs in addition to the caller's PATH.
const SYSTEM_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Installs buildx and this program for the user. Returns the path of the installed program.
pub(super) fn install(paths: &InstallPaths, user: &User, programs: &Programs) -> anyhow::Result<PathBuf> {
    let mut manifest = InstallManifest::read(&paths.manifest)?;
    let is_new = manifest.add_user(&user.name)?;
    let installed = install_buildx(&mut manifest, paths, user, programs)
        .and_then(|()| install_this_program(&mut manifest, paths));
    if installed.is_err()
        && is_new
        && let Err(error) = remove_user(manifest, user)
    {
        say(&format!("warning: cannot clean up: {error:#}"));
    }
    installed
}

/// Removes the user, and the programs if no other user is left. Returns whether the programs were removed.
pub(super) fn remove_user(mut manifest: InstallManifest, user: &User) -> anyhow::Result<bool> {
    let is_last = manifest.remove_user(&user.name)?;
    if is_last {
        manifest.undo()?;
    }
    Ok(is_last)
}

/// Replaces the user's own buildx plugin if it is too old: docker prefers it to the machine's, and only the user may
/// replace it.
pub(super) fn replace_own_buildx(
    paths: &InstallPaths,
    user: &User,
    programs: &Programs,
) -> anyhow::Result<()> {
    let installed = InstalledPrograms::find(Some(&user.docker_dir()), search_path(paths).as_ref());
    let own = installed
        .plugin
        .filter(|plugin| plugin.starts_with(&paths.plugins));
    match own {
        Some(own)
            if !version_output(user, &own).is_ok_and(|printed| known_issues::is_recent_enough(&printed)) =>
        {
            let mut manifest = InstallManifest::read(&paths.manifest)?;
            install_buildx(&mut manifest, paths, user, programs)
        }
        _ => Ok(()),
    }
}

/// Restores what [`replace_own_buildx`] replaced.
pub(super) fn restore_own_buildx(user: &User) -> anyhow::Result<()> {
    let manifest = InstallManifest::read(&InstallPaths::of_user(user).manifest)?;
    // A manifest with users belongs to the first phase, which undoes it itself.
    if manifest.has_no_users() {
        manifest.undo()
    } else {
        Ok(())
    }
}

/// Installs buildx as docker's plugin, and without the docker CLI also as a standalone program.
fn install_buildx(
    manifest: &mut InstallManifest,
    paths: &InstallPaths,
    user: &User,
    programs: &Programs,
) -> anyhow::Result<()> {
    // root does not read another user's config, and uses that user's plugin only if the machine has none.
    let own_dir = user.is_current().then(|| user.docker_dir());
    let installed = InstalledPrograms::find(own_dir.as_deref(), search_path(paths).as_ref());
    let user_plugin = user.docker_dir().join("cli-plugins").join(PLUGIN);
    let user_plugin = Some(&*user_plugin).filter(|plugin| own_dir.is_none() && plugin.exists());
    let mut missing = Vec::new();
    if !is_recent_enough(user, installed.plugin.as_deref()) && !is_recent_enough(user, user_plugin) {
        missing.push(paths.plugins.join(PLUGIN));
    }
    if installed.docker.is_none() && !is_recent_enough(user, installed.standalone.as_deref()) {
        missing.push(paths.programs.join("buildx"));
    }
    if missing.is_empty() {
        return Ok(());
    }
    let source = release::source(
        std::env::consts::ARCH,
        &release::Release::Pinned,
        programs.mirror.as_ref(),
    )?;
    let mut file = download_release(&source, programs.timeout)?;
    let works = |new: &Path| {
        version(user, new)
            .map(drop)
            .map_err(|error| buildx_release::not_buildx(&source, &error))
    };
    for path in missing {
        manifest.install_program(&path, &mut file, works)?;
        let version = version(user, &path)?;
        say(&format!("buildx {version}: installed as {}", path.display()));
    }
    Ok(())
}

/// Returns whether an installed buildx is recent enough to stay, and prints its version and status.
fn is_recent_enough(user: &User, program: Option<&Path>) -> bool {
    let Some(program) = program else {
        return false;
    };
    let Ok(printed) = version_output(user, program) else {
        // For example a program for another architecture, or an incomplete file.
        say(&format!("buildx: cannot be executed, {}", program.display()));
        return false;
    };
    let version = printed.split_whitespace().nth(1).unwrap_or("of unknown version");
    let is_recent = known_issues::is_recent_enough(&printed);
    let status = if is_recent { "already present" } else { "too old" };
    say(&format!("buildx {version}: {status}, {}", program.display()));
    is_recent
}

/// Returns the version of a buildx.
fn version(user: &User, program: &Path) -> anyhow::Result<String> {
    let printed = version_output(user, program)?;
    let version = printed.split_whitespace().nth(1);
    Ok(version.unwrap_or("of unknown version").to_owned())
}

/// Returns what `buildx version` prints. It runs as the user, because the program may be the user's.
fn version_output(user: &User, program: &Path) -> anyhow::Result<String> {
    let mut command = user.command(program);
    let output = user.output(command.arg("version"));
    buildx_release::printed_version(program, output)
}

/// Downloads a release.
fn download_release(source: &DownloadSource, timeout: Duration) -> anyhow::Result<File> {
    say(&format!("{}: downloading from {}", source.name, source.url));
    let retrier = Retrier::new(Instant::now() + timeout, Report::retry);
    guard::block_on(buildx_release::download(source, &retrier))
}

/// Installs this program, and docker's credential helper, which is a link to it. If an image or a package has both on
/// the PATH, they stay there.
fn install_this_program(manifest: &mut InstallManifest, paths: &InstallPaths) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("finding this program's own path")?;
    let version = env!("CARGO_PKG_VERSION");
    let report =
        |how: &str, path: &Path| say(&format!("remote-buildkit {version}: {how}, {}", path.display()));
    if own.parent().is_some_and(on_path) && own.with_file_name(PROGRAM).exists() {
        report("already present", &own);
        return Ok(own);
    }
    let mut content = File::open(&own).with_context(|| format!("opening {}", own.display()))?;
    let program = paths.program();
    let change = manifest.install_program(&program, &mut content, |_| Ok(()))?;
    let link = manifest.create_link(&paths.helper(), Path::new("remote-buildkit"))?;
    report(status_text(change), &program);
    if link != Change::Unchanged {
        say(&format!("{PROGRAM}: installed next to it"));
    }
    if !on_path(&paths.programs) {
        // If this runs in a step of a job, the following steps need the PATH.
        github::add_path(&paths.programs.to_string_lossy())?;
        say(&format!(
            "Add {} to the PATH of jobs: docker looks there for {PROGRAM}",
            paths.programs.display()
        ));
    }
    Ok(program)
}

/// Returns whether a directory is on the PATH.
fn on_path(dir: &Path) -> bool {
    std::env::split_paths(&current_path()).any(|entry| entry == dir)
}

/// Returns the word for a change in the log.
fn status_text(change: Change) -> &'static str {
    match change {
        Change::Created => "installed",
        Change::Updated => "updated",
        Change::Unchanged => "already present",
    }
}

/// Returns the PATH of the environment, or the system's.
fn current_path() -> std::ffi::OsString {
    env::raw(env::PATH).unwrap_or_else(|| SYSTEM_PATH.into())
}

/// Returns the PATH, extended by the directory of installed programs and the system's.
pub(super) fn search_path(paths: &InstallPaths) -> std::ffi::OsString {
    let own = current_path();
    let mut dirs: Vec<PathBuf> = std::env::split_paths(&own).collect();
    dirs.push(paths.programs.clone());
    dirs.extend(std::env::split_paths(SYSTEM_PATH));
    std::env::join_paths(dirs).unwrap_or(own)
}
