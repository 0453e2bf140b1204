//! Finds buildx on this machine. It only checks files and runs no program.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::error_code::ErrorCode;
use crate::problem::Problem;
use crate::{docker, env};

/// The system directories in which the docker CLI searches for plugins (docker/cli, cli-plugins/manager).
const SYSTEM_PLUGINS: [&str; 4] = [
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
];

/// The program with which a job runs buildx.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) path: PathBuf,
    /// The name of the plugin, if the program is docker.
    pub(super) plugin: Option<&'static str>,
}

/// Checks that buildx is installed.
pub fn check_installed() -> Result<(), Problem> {
    program().map(drop)
}

/// Returns the program that `docker buildx` runs, or else the standalone buildx. Plugins in the directories `ignored` do
/// not count.
pub fn installed_program(ignored: &BTreeSet<PathBuf>) -> Option<PathBuf> {
    let path = env::raw(env::PATH).unwrap_or_default();
    let installed = InstalledPrograms::find_outside(ignored, docker::dir().as_deref(), &path);
    let plugin = installed.docker.and(installed.plugin);
    plugin.or(installed.standalone)
}

/// Returns whether the docker CLI is on the PATH.
pub fn has_docker_cli() -> bool {
    let path = env::raw(env::PATH).unwrap_or_default();
    InstalledPrograms::find(None, &path).docker.is_some()
}

/// The installed programs that belong to docker and buildx.
#[derive(Debug, Clone, Default)]
pub struct InstalledPrograms {
    pub docker: Option<PathBuf>,
    /// The plugin that `docker buildx` runs.
    pub plugin: Option<PathBuf>,
    /// The buildx on the PATH that is called without docker.
    pub standalone: Option<PathBuf>,
}

impl InstalledPrograms {
    /// Finds the programs for a user's docker directory and PATH.
    pub fn find(docker_dir: Option<&Path>, path: &OsStr) -> Self {
        Self::find_outside(&BTreeSet::new(), docker_dir, path)
    }

    /// Finds the programs like [`Self::find`], without plugins in the directories `ignored`.
    fn find_outside(ignored: &BTreeSet<PathBuf>, docker_dir: Option<&Path>, path: &OsStr) -> Self {
        // docker looks into the extra directories first, unlike its documentation says (docker/cli,
        // cli-plugins/manager, getPluginDirs).
        let user_dir = docker_dir.map(|dir| dir.join("cli-plugins"));
        let mut plugins = extra_dirs(docker_dir)
            .into_iter()
            .chain(user_dir)
            .chain(SYSTEM_PLUGINS.map(PathBuf::from))
            .filter(|dir| !ignored.contains(dir))
            .map(|dir| dir.join(PLUGIN));
        let on_path = |name: &str| {
            let mut programs = std::env::split_paths(path).map(|dir| dir.join(name));
            programs.find(|path| is_executable(path))
        };
        Self {
            docker: on_path("docker"),
            plugin: plugins.find(|path| is_executable(path)),
            standalone: on_path("buildx"),
        }
    }
}

/// The file name of the plugin.
pub const PLUGIN: &str = "docker-buildx";

/// Returns the program for `docker buildx`, which other actions call, or else the standalone buildx.
pub(super) fn program() -> Result<Program, Problem> {
    let path = env::raw(env::PATH).unwrap_or_default();
    let installed = InstalledPrograms::find(docker::dir().as_deref(), &path);
    if let (Some(path), Some(_)) = (installed.docker, installed.plugin) {
        return Ok(Program {
            path,
            plugin: Some("buildx"),
        });
    }
    if let Some(path) = installed.standalone {
        return Ok(Program { path, plugin: None });
    }
    Err(Problem::new(
        ErrorCode::BuildxNotFound,
        "Looked for docker with its plugin docker-buildx (in ~/.docker/cli-plugins and the system's directories) and \
         for a standalone buildx on the PATH, and found neither.",
        "Install buildx (https://github.com/docker/buildx#installing) in the runner's image, for example with remote-buildkit \
         runner. A Docker daemon is not needed.",
    ))
}

/// Returns the plugin directories in `cliPluginsExtraDirs` of docker's config.json.
fn extra_dirs(docker_dir: Option<&Path>) -> Vec<PathBuf> {
    #[derive(Default, serde::Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct PluginConfig {
        cli_plugins_extra_dirs: Vec<PathBuf>,
    }
    let config = docker_dir.and_then(|dir| std::fs::read(dir.join("config.json")).ok());
    let config: Option<PluginConfig> = config.and_then(|text| serde_json::from_slice(&text).ok());
    config.unwrap_or_default().cli_plugins_extra_dirs
}

/// Returns whether a file exists that this user can execute.
fn is_executable(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// The order of docker/cli since 19.03.
    #[test]
    fn plugins_of_extra_directories_come_first() {
        let dir = tempfile::tempdir().expect("a directory");
        let program = |name: &str| {
            let path = dir.path().join(name).join(PLUGIN);
            std::fs::create_dir_all(path.parent().expect("a directory")).expect("created");
            std::fs::write(&path, "").expect("written");
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("executable");
            path
        };
        let found = || InstalledPrograms::find(Some(dir.path()), OsStr::new("")).plugin;
        let own = program("cli-plugins");
        assert_eq!(found(), Some(own.clone()));
        let extra = program("extra");
        let config = serde_json::json!({"cliPluginsExtraDirs": ["/absent", extra.parent()]});
        std::fs::write(dir.path().join("config.json"), config.to_string()).expect("written");
        assert_eq!(found(), Some(extra.clone()));
        // That of another job, which removes it when it ends.
        let ignored = extra.parent().into_iter().map(Path::to_owned).collect();
        let permanent = InstalledPrograms::find_outside(&ignored, Some(dir.path()), OsStr::new(""));
        assert_eq!(permanent.plugin, Some(own));
    }
}
