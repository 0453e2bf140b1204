//! Finds buildx on this machine. Only files are checked, and no program is run.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::error_code::ErrorCode;
use crate::problem::Problem;
use crate::{docker, env};

/// The directories in which the docker CLI searches plugins (docker/cli, cli-plugins/manager).
const SYSTEM_PLUGINS: [&str; 4] = [
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
];

/// The program that a job calls buildx with.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) path: PathBuf,
    /// The plugin's name, if the program is docker.
    pub(super) plugin: Option<&'static str>,
}

/// Checks that buildx is installed.
pub fn check_installed() -> Result<(), Problem> {
    program().map(drop)
}

/// The installed programs of docker.
#[derive(Debug, Clone, Default)]
pub struct InstalledPrograms {
    pub docker: Option<PathBuf>,
    /// The plugin that `docker buildx` runs.
    pub plugin: Option<PathBuf>,
    pub standalone: Option<PathBuf>,
}

impl InstalledPrograms {
    /// Finds the programs of a user with this docker directory and this PATH.
    pub fn find(docker_dir: Option<&Path>, path: &OsStr) -> Self {
        let user = docker_dir.map(|dir| dir.join("cli-plugins"));
        let mut plugins = user
            .into_iter()
            .chain(extra_dirs(docker_dir))
            .chain(SYSTEM_PLUGINS.map(PathBuf::from))
            .map(|dir| dir.join(PLUGIN));
        let on_path = |name: &str| {
            let mut programs = std::env::split_paths(path).map(|dir| dir.join(name));
            programs.find(|path| executable(path))
        };
        Self {
            docker: on_path("docker"),
            plugin: plugins.find(|path| executable(path)),
            standalone: on_path("buildx"),
        }
    }
}

/// The name of the plugin's file.
pub const PLUGIN: &str = "docker-buildx";

/// Returns `docker buildx`, which other actions call, or else the standalone buildx.
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

/// Returns `cliPluginsExtraDirs` of docker's config.json.
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

fn executable(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}
