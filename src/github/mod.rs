//! The runner of GitHub Actions: what it is told through files and lines
//! (<https://docs.github.com/actions/reference/workflow-commands-for-github-actions>).
//! Outside a job every call here is a no-op, so that the program is a plain command line tool there.

pub mod api;
mod app;
mod oidc;
mod scope;

pub use app::AppKey;
pub use oidc::id_token;
#[cfg(fuzzing)]
pub use oidc::id_token_of;
pub use scope::{RunnerScope, ScopeKind};

use std::fs::OpenOptions;
use std::io::Write;

use crate::problem::Problem;
use crate::report;
use crate::secret::Secret;
use crate::{env, files};

pub fn in_job() -> bool {
    env::get(env::GITHUB_ACTIONS).as_deref() == Some("true")
}

/// Hides a value in every log line from here on. A value of several lines is hidden line by line.
///
/// For steps alone, whose standard output the runner reads. The plugin's output goes wherever its caller sends it, into
/// a file perhaps, so the plugin masks nothing and prints nothing.
pub fn mask(secret: &Secret) {
    if in_job() {
        for line in secret.expose().lines().filter(|l| !l.is_empty()) {
            report::command(format!("::add-mask::{}", escape(line)));
        }
    }
}

pub fn set_output(name: &str, value: &str) -> anyhow::Result<()> {
    append(env::GITHUB_OUTPUT, name, value)
}

/// A variable for the following steps of the job.
pub fn export(name: &str, value: &str) -> anyhow::Result<()> {
    append(env::GITHUB_ENV, name, value)
}

/// A folder to look for programs in, for the following steps of the job.
pub fn add_path(folder: &str) -> anyhow::Result<()> {
    append_to(env::GITHUB_PATH, |_| format!("{folder}\n"))
}

/// A value for this action's post step.
pub fn save_state(name: &str, value: &str) -> anyhow::Result<()> {
    append(env::GITHUB_STATE, name, value)
}

pub fn state(name: &str) -> Option<String> {
    env::get(&format!("STATE_{name}"))
}

/// Annotates the run with an error. Its last line links to the error's section in `docs/errors.md`.
pub fn error(problem: &Problem) {
    annotate("error", problem.code.title(), &with_link(problem));
}

/// Annotates the run with an error that does not fail the step.
pub fn warn(problem: &Problem) {
    annotate("warning", problem.code.title(), &with_link(problem));
}

fn with_link(problem: &Problem) -> String {
    match documentation(env::get) {
        Some(docs) => format!("{}\n{docs}/errors.md#{}", problem.text(), problem.code.anchor()),
        None => problem.text(),
    }
}

/// Returns the URL of this action's `docs` directory at the version that the workflow uses. `None` for an action that
/// is used by its path, as in `uses: ./`: the runner then names no repository
/// (<https://docs.github.com/actions/reference/variables-reference>).
fn documentation(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let server = variable(env::GITHUB_SERVER_URL)?;
    let repository = variable(env::GITHUB_ACTION_REPOSITORY)?;
    let version = variable(env::GITHUB_ACTION_REF)?;
    Some(format!("{server}/{repository}/blob/{version}/docs"))
}

pub fn warning(title: &str, text: &str) {
    annotate("warning", title, &report::bounded(text));
}

fn annotate(level: &str, title: &str, text: &str) {
    if in_job() {
        let title = escape(title).replace(':', "%3A").replace(',', "%2C");
        report::command(format!("::{level} title={title}::{}", escape(text)));
    }
}

/// The data of a workflow command ends with its line.
fn escape(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Markdown for the summary of the job.
pub fn summary(markdown: &str) -> anyhow::Result<()> {
    append_to(env::GITHUB_STEP_SUMMARY, |_| format!("{markdown}\n"))
}

/// `name<<delimiter`, value, delimiter: a value may hold anything, newlines too.
fn append(file_variable: &'static str, name: &str, value: &str) -> anyhow::Result<()> {
    append_to(file_variable, |random| {
        let delimiter = format!("ghadelimiter_{random}");
        format!("{name}<<{delimiter}\n{value}\n{delimiter}\n")
    })
}

/// The record may hold something random.
fn append_to(file_variable: &'static str, record: impl FnOnce(&str) -> String) -> anyhow::Result<()> {
    let Some(path) = env::path(file_variable) else {
        return Ok(());
    };
    let record = record(&files::random_hex()?);
    let open = OpenOptions::new().append(true).create(true).open(&path);
    let appended = open.and_then(|mut file| {
        let before = file.metadata()?.len();
        file.write_all(record.as_bytes()).inspect_err(|_| {
            // The runner would take half a record for a fault of its own.
            let _ = file.set_len(before);
        })
    });
    appended.map_err(|error| files::not_written(&path, files::Place::Runner(file_variable), &error).into())
}

/// The role session name of this job: repository and run, in the characters that STS allows, 64 at most.
pub fn session_name() -> String {
    let repository = repository().unwrap_or_else(|| "remote-buildkit".into());
    let run = env::get(env::GITHUB_RUN_ID).unwrap_or_else(|| "local".into());
    name_of_run(&repository, &run)
}

/// `owner/name`, in a job.
pub fn repository() -> Option<String> {
    env::get(env::GITHUB_REPOSITORY)
}

fn name_of_run(repository: &str, run: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let clean = |text: &str| -> String { text.chars().map(|c| if allowed(c) { c } else { '-' }).collect() };
    let run: String = clean(run).chars().take(20).collect();
    let repository: String = clean(repository).chars().take(64 - 1 - run.len()).collect();
    format!("{repository}-{run}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_of_a_command_stays_on_its_line() {
        assert_eq!(escape("100%\r\nnext"), "100%25%0D%0Anext");
    }

    #[test]
    fn the_documentation_is_that_of_the_version_used() {
        let variables = |name: &str| {
            let value = match name {
                env::GITHUB_SERVER_URL => "https://github.com",
                env::GITHUB_ACTION_REPOSITORY => "acme/remote-buildkit",
                env::GITHUB_ACTION_REF => "v1",
                _ => return None,
            };
            Some(value.to_owned())
        };
        assert_eq!(
            documentation(variables).as_deref(),
            Some("https://github.com/acme/remote-buildkit/blob/v1/docs")
        );
        let by_path = |name: &str| variables(name).filter(|_| name != env::GITHUB_ACTION_REPOSITORY);
        assert_eq!(documentation(by_path), None);
    }

    #[test]
    fn session_names_hold_repository_and_run_within_64_characters() {
        assert_eq!(name_of_run("acme/shop", "4711"), "acme-shop-4711");
        let long = name_of_run(&"x".repeat(140), "12345678901");
        assert_eq!(long.len(), 64);
        assert!(long.ends_with("-12345678901"));
    }
}
