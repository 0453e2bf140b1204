//! Prints the result: outputs, a table in the log and in the job summary, or JSON.

use std::collections::{BTreeMap, BTreeSet};

use super::changes::DetectedChanges;
use super::checkout::Checkout;
use super::targets::unknown_target;
use crate::cli::OutputFormat;
use crate::error_code::ErrorCode;
use crate::inputs::MatrixInputs;
use crate::matrix::build_inputs::{BuildInputs, DockerfileFault};
use crate::matrix::definition::Definition;
use crate::matrix::entries::{MAX_MATRIX_BYTES, MAX_OUTPUT_BYTES, matrix_entries};
use crate::matrix::plan::{Plan, with_linked_targets};
use crate::matrix::table::{self, count};
use crate::matrix::target::Targets;
use crate::problem::Problem;
use crate::report::{print_raw, say};
use crate::secret::Secret;
use crate::{env, github};

/// The most annotations that GitHub shows for a step.
const MAX_WARNINGS: usize = 10;

/// Warns of Dockerfiles that cannot be parsed. Their targets are built, and the build reports whether they are wrong.
pub(super) fn warn_of_dockerfile_errors(inputs: &BTreeMap<String, BuildInputs>) {
    let faults: BTreeSet<&DockerfileFault> = inputs
        .values()
        .filter_map(|inputs| inputs.fault.as_ref())
        .collect();
    for fault in faults.into_iter().take(MAX_WARNINGS) {
        let text = format!("{fault}. Its targets are always built.");
        let warning = Problem::new(ErrorCode::DockerfileNotParsed, text, "");
        github::warn(&warning);
        if !github::in_job() {
            say(&format!("warning: {warning}"));
        }
    }
}

/// Returns the token of the variable that gh and other programs use outside of a job.
pub(super) fn environment_token() -> Option<Secret> {
    env::get(env::GITHUB_TOKEN).map(Secret::new)
}

/// Prints the plan as a table, sets the outputs of the job, and prints the matrix as JSON or YAML if requested.
pub(super) fn print_plan(
    inputs: &MatrixInputs,
    targets: &Targets,
    plan: &Plan,
    detected: &DetectedChanges,
) -> anyhow::Result<()> {
    let to_build = plan.to_build();
    let entries = matrix_entries(
        targets,
        &to_build,
        inputs.per_platform,
        github::repository().as_deref(),
    );
    if !entries.fits() {
        return Err(matrix_too_large(to_build.len(), entries.bytes()).into());
    }
    let between;
    let (changed_files, changed) = match detected {
        DetectedChanges::Unknown { .. } => (None, None),
        DetectedChanges::Known { changes, base, head } => {
            between = format!("between {} and {}", short(base), short(head));
            (Some(changes.len()), Some((changes.len(), between.as_str())))
        }
    };
    let summary = table::summary(plan, changed);
    for line in table::lines(plan) {
        say(&line);
    }
    let notes = entries.notes();
    for note in &notes {
        say(note);
        github::warn(&Problem::new(ErrorCode::MatrixReduced, note, ""));
    }
    say(&summary);
    let matrix = entries.to_json();
    for (name, value) in [
        ("matrix", matrix.as_str()),
        ("targets", &serde_json::json!(to_build).to_string()),
        ("any", if to_build.is_empty() { "false" } else { "true" }),
        ("reason", &summary),
        (
            "changed-files",
            &changed_files.map(|files| files.to_string()).unwrap_or_default(),
        ),
    ] {
        github::set_output(name, value)?;
    }
    github::summary(&table::markdown(plan, &summary, &notes))?;
    match inputs.format {
        OutputFormat::Table => {}
        // As GitHub reads it: one line.
        OutputFormat::Json => print_raw(&matrix)?,
        OutputFormat::Yaml => {
            if let Some(text) = OutputFormat::Yaml.serialize(&serde_json::from_str(&matrix)?)? {
                print_raw(&text)?;
            }
        }
    }
    Ok(())
}

/// Prints the input files of a target and of the targets that it links to, one per line.
pub(super) fn explain(
    target: &str,
    targets: &Targets,
    inputs: &BTreeMap<String, BuildInputs>,
    definition: &Definition,
    checkout: &Checkout,
) -> anyhow::Result<()> {
    if !targets.all.contains_key(target) {
        return Err(unknown_target(target, targets).into());
    }
    let tree = &checkout.tree;
    let exists = |file: &&String| tree.has_file(file);
    let mut files: BTreeSet<&str> = definition
        .files
        .iter()
        .filter(exists)
        .map(String::as_str)
        .collect();
    for name in with_linked_targets(target, inputs) {
        let Some(inputs) = inputs.get(name) else { continue };
        files.extend(inputs.files(tree));
        if let Some(reason) = &inputs.uncertain_because {
            say(&format!("{name} is always built: {reason}."));
        }
    }
    if let Some(reason) = &definition.uncertain_because {
        say(&format!("All targets are always built: {reason}."));
    }
    print_raw(&files.into_iter().collect::<Vec<_>>().join("\n"))
}

fn matrix_too_large(targets: usize, bytes: usize) -> Problem {
    let kib = |bytes: usize| bytes.div_ceil(1024);
    Problem::new(
        ErrorCode::MatrixTooLarge,
        format!(
            "The matrix of {} has {} KiB in UTF-16, and at most {} KiB fit: GitHub allows {} KiB for all outputs of a job, \
             and the output `targets` has the names again.",
            count(targets, "target"),
            kib(bytes),
            kib(MAX_MATRIX_BYTES),
            kib(MAX_OUTPUT_BYTES),
        ),
        "Plan fewer targets at once: use several steps with different `targets`.",
    )
}

/// Returns the first digits of a commit's id, and any other name unchanged.
fn short(commit: &str) -> &str {
    let is_id = commit.len() >= 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_id { &commit[..12] } else { commit }
}
