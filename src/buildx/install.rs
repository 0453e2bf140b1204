//! Whether buildx is on this machine, and how it is called. Files are looked for, nothing is run.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::error_code::ErrorCode;
use crate::problem::Problem;
use crate::{docker, env};

/// Where the docker CLI looks for plugins (docker/cli, cli-plugins/manager).
const SYSTEM_PLUGINS: [&str; 4] = [
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
];

/// How a job calls buildx.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) path: PathBuf,
    /// For docker, the name of the plugin.
    pub(super) plugin: Option<&'static str>,
}

pub fn check_installed() -> Result<(), Problem> {
    program().map(drop)
}

/// What there is of docker's programs.
#[derive(Debug, Clone, Default)]
pub struct Installed {
    pub docker: Option<PathBuf>,
    /// What `docker buildx` runs.
    pub plugin: Option<PathBuf>,
    pub standalone: Option<PathBuf>,
}

impl Installed {
    /// For a user with this folder of docker's, who looks for programs in these folders.
    pub fn look(docker_folder: Option<&Path>, path: &OsStr) -> Self {
        let user = docker_folder.map(|folder| folder.join("cli-plugins"));
        let mut plugins = user
            .into_iter()
            .chain(extra_folders(docker_folder))
            .chain(SYSTEM_PLUGINS.map(PathBuf::from))
            .map(|folder| folder.join(PLUGIN));
        let on_path = |name: &str| {
            let mut programs = std::env::split_paths(path).map(|folder| folder.join(name));
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

/// `docker buildx`, which is what actions call, or else buildx by itself.
pub(super) fn program() -> Result<Program, Problem> {
    let path = env::raw(env::PATH).unwrap_or_default();
    let installed = Installed::look(docker::folder().as_deref(), &path);
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
        "Looked for docker with its plugin docker-buildx (in ~/.docker/cli-plugins and the system's folders) and \
         for a standalone buildx on the PATH, and found neither.",
        "Install buildx (https://github.com/docker/buildx#installing) into the runner's image, as remote-buildkit runner \
         does; a Docker daemon is not needed.",
    ))
}

/// `cliPluginsExtraDirs` of docker's config.json.
fn extra_folders(docker_folder: Option<&Path>) -> Vec<PathBuf> {
    #[derive(Default, serde::Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Config {
        cli_plugins_extra_dirs: Vec<PathBuf>,
    }
    let config = docker_folder.and_then(|folder| std::fs::read(folder.join("config.json")).ok());
    let config: Option<Config> = config.and_then(|text| serde_json::from_slice(&text).ok());
    config.unwrap_or_default().cli_plugins_extra_dirs
}

fn executable(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}
