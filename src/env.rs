//! Every environment variable this program reads by itself, in one place.
//!
//! The AWS SDK reads its own (`AWS_REGION`, `AWS_PROFILE`, `AWS_WEB_IDENTITY_TOKEN_FILE`, `AWS_ENDPOINT_URL`, …).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

/// `true` inside a GitHub Actions job.
pub const GITHUB_ACTIONS: &str = "GITHUB_ACTIONS";
/// File that takes `name=value` outputs of the step.
pub const GITHUB_OUTPUT: &str = "GITHUB_OUTPUT";
/// File that takes variables for the following steps.
pub const GITHUB_ENV: &str = "GITHUB_ENV";
/// File that takes values for this action's post step, which reads them as `STATE_name`.
pub const GITHUB_STATE: &str = "GITHUB_STATE";
/// File that takes Markdown for the summary of the job.
pub const GITHUB_STEP_SUMMARY: &str = "GITHUB_STEP_SUMMARY";
/// The folder into which a job checks its repository out.
pub const GITHUB_WORKSPACE: &str = "GITHUB_WORKSPACE";
/// A token for GitHub's API, outside of a job.
pub const GITHUB_TOKEN: &str = "GITHUB_TOKEN";
/// `owner/name`, part of the role session name.
pub const GITHUB_REPOSITORY: &str = "GITHUB_REPOSITORY";
/// `https://github.com`, or the address of an Enterprise server.
pub const GITHUB_SERVER_URL: &str = "GITHUB_SERVER_URL";
/// `owner/name` of the action that runs; not set for an action that is used by its path.
pub const GITHUB_ACTION_REPOSITORY: &str = "GITHUB_ACTION_REPOSITORY";
/// The version of the action that the workflow uses: a tag, a branch or a commit.
pub const GITHUB_ACTION_REF: &str = "GITHUB_ACTION_REF";
/// What started the run, such as `push`.
pub const GITHUB_EVENT_NAME: &str = "GITHUB_EVENT_NAME";
/// A file of JSON: what GitHub says of that event.
pub const GITHUB_EVENT_PATH: &str = "GITHUB_EVENT_PATH";
/// The commit that a checkout takes by itself.
pub const GITHUB_SHA: &str = "GITHUB_SHA";
/// GitHub's REST API, `https://api.github.com` or that of an Enterprise server.
pub const GITHUB_API_URL: &str = "GITHUB_API_URL";
/// Part of the role session name.
pub const GITHUB_RUN_ID: &str = "GITHUB_RUN_ID";
/// Where to ask for the job's OIDC token; set when the job has `id-token: write`.
pub const ACTIONS_ID_TOKEN_REQUEST_URL: &str = "ACTIONS_ID_TOKEN_REQUEST_URL";
/// The bearer token for that request.
pub const ACTIONS_ID_TOKEN_REQUEST_TOKEN: &str = "ACTIONS_ID_TOKEN_REQUEST_TOKEN";
/// A folder that is emptied after each job.
pub const RUNNER_TEMP: &str = "RUNNER_TEMP";
/// `1` when a user asked for a debug log.
pub const RUNNER_DEBUG: &str = "RUNNER_DEBUG";
/// `true` where a user asks for it with a variable of the job instead of one of the repository.
pub const ACTIONS_STEP_DEBUG: &str = "ACTIONS_STEP_DEBUG";

/// The folder of a connected job, for the credential helper: exported by connect.
pub const REMOTE_BUILDKIT_SESSION: &str = "REMOTE_BUILDKIT_SESSION";
/// File that takes folders to put on the PATH of the following steps.
pub const GITHUB_PATH: &str = "GITHUB_PATH";

/// The user's own temporary folder outside Actions.
pub const XDG_RUNTIME_DIR: &str = "XDG_RUNTIME_DIR";

/// Of temporary keys: tells whether a later step has exported newer ones.
pub const AWS_SESSION_TOKEN: &str = "AWS_SESSION_TOKEN";

/// A file of certificates to trust when AWS is called.
pub const AWS_CA_BUNDLE: &str = "AWS_CA_BUNDLE";
/// A file of certificates in the place of the machine's own.
pub const SSL_CERT_FILE: &str = "SSL_CERT_FILE";
/// The proxy for addresses of https.
pub const HTTPS_PROXY: &str = "HTTPS_PROXY";
/// What is reached without it.
pub const NO_PROXY: &str = "NO_PROXY";

/// Where a pod finds its cluster's API server.
pub const KUBERNETES_SERVICE_HOST: &str = "KUBERNETES_SERVICE_HOST";
/// The port of it.
pub const KUBERNETES_SERVICE_PORT: &str = "KUBERNETES_SERVICE_PORT";

/// buildx's folder, when not below docker's.
pub const BUILDX_CONFIG: &str = "BUILDX_CONFIG";
/// docker's folder, when not `~/.docker`.
pub const DOCKER_CONFIG: &str = "DOCKER_CONFIG";
/// The daemon's address: buildx keeps the builder chosen for each.
pub const DOCKER_HOST: &str = "DOCKER_HOST";
/// The builder that buildx uses, before anything in its folder.
pub const BUILDX_BUILDER: &str = "BUILDX_BUILDER";
/// Bake files in the place of the default ones, with this between them: a colon, when it is not set.
pub const BUILDX_BAKE_FILE: &str = "BUILDX_BAKE_FILE";
pub const BUILDX_BAKE_PATH_SEPARATOR: &str = "BUILDX_BAKE_PATH_SEPARATOR";
/// Turns color off (<https://no-color.org>).
pub const NO_COLOR: &str = "NO_COLOR";
/// The kind of terminal; `dumb` has no colors.
pub const TERM: &str = "TERM";
pub const HOME: &str = "HOME";
pub const PATH: &str = "PATH";

/// A variable's value; empty counts as absent, as for inputs of an action. Bytes that are no text are no value either.
pub fn get(name: &str) -> Option<String> {
    raw(name)?.into_string().ok()
}

/// Returns whether a variable is set to an empty value.
pub fn is_empty(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| value.is_empty())
}

/// A path, which need not be text.
pub fn path(name: &str) -> Option<PathBuf> {
    raw(name).map(PathBuf::from)
}

/// Whatever it holds.
pub fn raw(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// The AWS SDK's own, with their values: the text among them.
pub fn of_aws() -> BTreeMap<String, String> {
    let text = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    text.filter(|(name, _)| name.starts_with("AWS_")).collect()
}

/// The names of those that begin like this.
pub fn beginning_with(prefix: &str) -> Vec<OsString> {
    let names = std::env::vars_os().map(|(name, _)| name);
    names
        .filter(|name| name.as_encoded_bytes().starts_with(prefix.as_bytes()))
        .collect()
}
