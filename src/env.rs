//! The environment variables that this program reads itself.
//!
//! The AWS SDK reads more (`AWS_REGION`, `AWS_PROFILE`, `AWS_WEB_IDENTITY_TOKEN_FILE`, `AWS_ENDPOINT_URL`, …).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

/// `true` inside a GitHub Actions job.
pub const GITHUB_ACTIONS: &str = "GITHUB_ACTIONS";
/// The file to which a step writes its outputs, as `name=value`.
pub const GITHUB_OUTPUT: &str = "GITHUB_OUTPUT";
/// The file to which a step writes environment variables for the following steps.
pub const GITHUB_ENV: &str = "GITHUB_ENV";
/// The file to which a step writes values for this action's post step, which reads them as `STATE_name`.
pub const GITHUB_STATE: &str = "GITHUB_STATE";
/// The file to which a step writes Markdown for the job summary.
pub const GITHUB_STEP_SUMMARY: &str = "GITHUB_STEP_SUMMARY";
/// The directory into which a job checks out its repository.
pub const GITHUB_WORKSPACE: &str = "GITHUB_WORKSPACE";
/// The token for GitHub's API outside of a job.
pub const GITHUB_TOKEN: &str = "GITHUB_TOKEN";
/// The same, as the program `gh` names it.
pub const GH_TOKEN: &str = "GH_TOKEN";
/// The repository as `owner/name`. It is part of the role session name.
pub const GITHUB_REPOSITORY: &str = "GITHUB_REPOSITORY";
/// The server's URL: `https://github.com`, or that of a GitHub Enterprise Server.
pub const GITHUB_SERVER_URL: &str = "GITHUB_SERVER_URL";
/// The repository of the running action as `owner/name`. Not set for an action that is used by its path.
pub const GITHUB_ACTION_REPOSITORY: &str = "GITHUB_ACTION_REPOSITORY";
/// The version of the running action: a tag, a branch or a commit.
pub const GITHUB_ACTION_REF: &str = "GITHUB_ACTION_REF";
/// The name of the event that triggered the run, such as `push`.
pub const GITHUB_EVENT_NAME: &str = "GITHUB_EVENT_NAME";
/// Who started the run, such as `octocat` or `dependabot[bot]`.
pub const GITHUB_ACTOR: &str = "GITHUB_ACTOR";
/// The JSON file with the payload of that event.
pub const GITHUB_EVENT_PATH: &str = "GITHUB_EVENT_PATH";
/// The commit that `actions/checkout` checks out by default.
pub const GITHUB_SHA: &str = "GITHUB_SHA";
/// The URL of GitHub's REST API: `https://api.github.com`, or that of a GitHub Enterprise Server.
pub const GITHUB_API_URL: &str = "GITHUB_API_URL";
/// The ID of the run. It is part of the role session name.
pub const GITHUB_RUN_ID: &str = "GITHUB_RUN_ID";
/// The URL at which to request the job's OIDC token. Set if the job has the permission `id-token: write`.
pub const ACTIONS_ID_TOKEN_REQUEST_URL: &str = "ACTIONS_ID_TOKEN_REQUEST_URL";
/// The bearer token for that request.
pub const ACTIONS_ID_TOKEN_REQUEST_TOKEN: &str = "ACTIONS_ID_TOKEN_REQUEST_TOKEN";
/// The temporary directory of the job, which the runner empties after each job.
pub const RUNNER_TEMP: &str = "RUNNER_TEMP";
/// `1` if debug logging is enabled.
pub const RUNNER_DEBUG: &str = "RUNNER_DEBUG";
/// `true` if debug logging is enabled in the `env` of a workflow, a job or a step. The runner reads a secret or variable of
/// the repository with this name, and sets `RUNNER_DEBUG`.
pub const ACTIONS_STEP_DEBUG: &str = "ACTIONS_STEP_DEBUG";

/// The directory of a connected job. connect exports it for the credential helper.
pub const REMOTE_BUILDKIT_SESSION: &str = "REMOTE_BUILDKIT_SESSION";
/// The file to which a step writes directories for the PATH of the following steps.
pub const GITHUB_PATH: &str = "GITHUB_PATH";

/// The user's private temporary directory, used outside of GitHub Actions.
pub const XDG_RUNTIME_DIR: &str = "XDG_RUNTIME_DIR";

/// The session token of temporary AWS keys. A changed token means that a later step exported newer keys.
pub const AWS_SESSION_TOKEN: &str = "AWS_SESSION_TOKEN";

/// The file with the CA certificates to trust in requests to AWS.
pub const AWS_CA_BUNDLE: &str = "AWS_CA_BUNDLE";
/// The file with the CA certificates that replace the machine's own.
pub const SSL_CERT_FILE: &str = "SSL_CERT_FILE";
/// The proxy for `http` URLs.
pub const HTTP_PROXY: &str = "HTTP_PROXY";
/// The proxy for `https` URLs.
pub const HTTPS_PROXY: &str = "HTTPS_PROXY";
/// The hosts that are reached without the proxy.
pub const NO_PROXY: &str = "NO_PROXY";
/// The method of a request to a CGI program.
pub const REQUEST_METHOD: &str = "REQUEST_METHOD";

/// The host of the cluster's API server. Set in pods.
pub const KUBERNETES_SERVICE_HOST: &str = "KUBERNETES_SERVICE_HOST";
/// The port of the cluster's API server. Set in pods.
pub const KUBERNETES_SERVICE_PORT: &str = "KUBERNETES_SERVICE_PORT";

/// buildx's directory, if it is not below docker's.
pub const BUILDX_CONFIG: &str = "BUILDX_CONFIG";
/// docker's directory, if it is not `~/.docker`.
pub const DOCKER_CONFIG: &str = "DOCKER_CONFIG";
/// The address of the Docker daemon. buildx stores the selected builder for each address.
pub const DOCKER_HOST: &str = "DOCKER_HOST";
/// The builder that buildx uses. It takes precedence over the selection in buildx's directory.
pub const BUILDX_BUILDER: &str = "BUILDX_BUILDER";
/// The bake files that replace the default ones.
pub const BUILDX_BAKE_FILE: &str = "BUILDX_BAKE_FILE";
/// The separator in `BUILDX_BAKE_FILE`; a colon if it is not set.
pub const BUILDX_BAKE_PATH_SEPARATOR: &str = "BUILDX_BAKE_PATH_SEPARATOR";
/// Disables colors (<https://no-color.org>).
pub const NO_COLOR: &str = "NO_COLOR";
/// Enables colors even if the output is not a terminal, unless it is `0` (<https://bixense.com/clicolors/>).
pub const CLICOLOR_FORCE: &str = "CLICOLOR_FORCE";
/// Disables colors if it is `0`.
pub const CLICOLOR: &str = "CLICOLOR";
/// The type of the terminal. `dumb` has no colors.
pub const TERM: &str = "TERM";
pub const HOME: &str = "HOME";
pub const PATH: &str = "PATH";

/// Returns whether this runs in a job of GitHub Actions.
pub fn in_job() -> bool {
    get(GITHUB_ACTIONS).as_deref() == Some("true")
}

/// Returns the value of a variable. An empty value counts as not set, as for the inputs of an action, and so does a
/// value that is not valid UTF-8.
pub fn get(name: &str) -> Option<String> {
    raw(name)?.into_string().ok()
}

/// Returns whether a variable is set to an empty value.
pub fn is_empty(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| value.is_empty())
}

/// Returns the value of a variable as a path, which need not be valid UTF-8.
pub fn path(name: &str) -> Option<PathBuf> {
    raw(name).map(PathBuf::from)
}

/// Returns the value of a variable, which need not be valid UTF-8. An empty value counts as not set.
pub fn raw(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// Returns the variables of the AWS SDK, those whose names begin with `AWS_`. Values that are not valid UTF-8 are
/// left out.
pub fn of_aws() -> BTreeMap<String, String> {
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    variables.filter(|(name, _)| name.starts_with("AWS_")).collect()
}

/// Returns the names of the variables that begin with a prefix.
pub fn beginning_with(prefix: &str) -> Vec<OsString> {
    let names = std::env::vars_os().map(|(name, _)| name);
    names
        .filter(|name| name.as_encoded_bytes().starts_with(prefix.as_bytes()))
        .collect()
}
