//! The job of GitHub Actions in which this program runs: workflow commands, outputs, state and masks
//! (<https://docs.github.com/actions/reference/workflow-commands-for-github-actions>).
//! Outside a job every function here does nothing, so that the program is a plain command-line tool there.

use std::fs::OpenOptions;
use std::io::Write;

pub use crate::env::in_job;
use crate::problem::Problem;
use crate::report;
use crate::secret::Secret;
use crate::{env, files};

/// Masks a value in the job's log from now on. A value of several lines is masked line by line.
///
/// Only for steps, whose standard output the runner reads. The plugin must not use it: its output goes where its caller sends
/// it, possibly to a file.
pub fn mask(secret: &Secret) {
    if in_job() {
        for line in secret.expose().lines().filter(|l| !l.is_empty()) {
            report::command(format!("::add-mask::{}", escape(line)));
        }
    }
}

/// Sets an output of the step.
pub fn set_output(name: &str, value: &str) -> anyhow::Result<()> {
    append(env::GITHUB_OUTPUT, name, value)
}

/// Sets an environment variable for the following steps of the job.
pub fn export(name: &str, value: &str) -> anyhow::Result<()> {
    append(env::GITHUB_ENV, name, value)
}

/// Adds a directory to the PATH of the following steps of the job.
pub fn add_path(dir: &str) -> anyhow::Result<()> {
    append_to(env::GITHUB_PATH, |_| format!("{dir}\n"))
}

/// Saves a value for this action's post step.
pub fn save_state(name: &str, value: &str) -> anyhow::Result<()> {
    append(env::GITHUB_STATE, name, value)
}

/// Returns a value that the main step saved.
pub fn state(name: &str) -> Option<String> {
    env::get(&format!("STATE_{name}"))
}

/// Annotates the run with an error. Its last line links to the error's section in `docs/errors.md`.
pub fn error(problem: &Problem) {
    annotate("error", problem.code.title(), &with_link(problem));
}

/// Annotates the run with a warning: a problem that does not fail the step. It ends with the link as an error does.
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

fn annotate(level: &str, title: &str, text: &str) {
    if in_job() {
        let title = escape(title).replace(':', "%3A").replace(',', "%2C");
        report::command(format!("::{level} title={title}::{}", escape(text)));
    }
}

/// Escapes the data of a workflow command, which ends with its line.
fn escape(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Adds Markdown to the summary of the job.
pub fn summary(markdown: &str) -> anyhow::Result<()> {
    append_to(env::GITHUB_STEP_SUMMARY, |_| format!("{markdown}\n"))
}

/// Appends `NAME<<DELIMITER`, the value and the delimiter. A value may contain anything, including newlines.
fn append(file_variable: &'static str, name: &str, value: &str) -> anyhow::Result<()> {
    append_to(file_variable, |random| {
        let delimiter = format!("ghadelimiter_{random}");
        format!("{name}<<{delimiter}\n{value}\n{delimiter}\n")
    })
}

/// Appends a record to one of the runner's files. `record` gets a random string for its delimiter.
fn append_to(file_variable: &'static str, record: impl FnOnce(&str) -> String) -> anyhow::Result<()> {
    let Some(path) = env::path(file_variable) else {
        return Ok(());
    };
    let record = record(&files::random_hex()?);
    let open = OpenOptions::new().append(true).create(true).open(&path);
    let appended = open.and_then(|mut file| {
        let before = file.metadata()?.len();
        file.write_all(record.as_bytes()).inspect_err(|_| {
            // The runner would report half a record as its own error.
            let _ = file.set_len(before);
        })
    });
    appended
        .map_err(|error| files::not_written(&path, files::PathOwner::Runner(file_variable), &error).into())
}

/// Returns the role session name of this job: repository and run, limited to the 64 characters that STS allows.
pub fn session_name() -> String {
    let repository = repository().unwrap_or_else(|| "remote-buildkit".into());
    let run = env::get(env::GITHUB_RUN_ID).unwrap_or_else(|| "local".into());
    name_of_run(&repository, &run)
}

/// Returns the job's repository, as `OWNER/NAME`.
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
    fn command_data_is_escaped_to_one_line() {
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
