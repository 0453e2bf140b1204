//! Which agent serves the job, for each architecture.

use super::agent::{self, Ready};
use super::{Job, Reached};
use crate::agent::group::Group;
use crate::agent::platform::Platform;
use crate::agent::{Spec, routing};
use crate::cluster::{Answer, Use};
use crate::diagnosis::{State, agent as judge};
use crate::error_code::ErrorCode;
use crate::github;
use crate::inputs::Plan;
use crate::problem::Problem;
use crate::report::Report;

/// What decides which of several agents serves.
pub(in crate::commands) fn key(plan: &Plan) -> String {
    let key = plan.cache_key.clone().or_else(github::repository);
    key.unwrap_or_default()
}

/// The first agent of the key's order that answers. One that is further down has less of the job's cache.
pub(super) async fn serve(job: Job, group: &Group) -> anyhow::Result<Reached> {
    let job = &job;
    let order = routing::order(&job.key, group.agents.iter().collect(), |spec: &&Spec| &spec.name);
    let mut trouble: Option<Problem> = None;
    for spec in order {
        let ready: Ready = match trouble {
            None => agent::ready(job, spec).await?,
            Some(_) => agent::ready_as_it_is(job, spec).await?,
        };
        match ready.and_then(|answer| native(spec, group, answer)) {
            Ok(answer) => {
                say(job, spec, &answer);
                if let Some(trouble) = trouble {
                    colder(job, spec, &trouble);
                }
                return Ok(Reached {
                    agent: spec.name.clone(),
                    platforms: group.platforms.clone(),
                    answer,
                });
            }
            // The first one's trouble is what there is to mend.
            Err(problem) => {
                Report::detail(&format!(
                    "agent {} does not serve: {}",
                    spec.name,
                    problem.code.title()
                ));
                trouble.get_or_insert(problem);
            }
        }
    }
    Err(failed(group, trouble).into())
}

fn failed(group: &Group, trouble: Option<Problem>) -> Problem {
    let problem =
        trouble.unwrap_or_else(|| Problem::new(ErrorCode::AgentNotFound, "There is no agent to ask.", ""));
    let others = match group.agents.len() {
        1 => String::new(),
        number => format!(" None of the {number} agents serves; this is the one whose turn it was."),
    };
    let platforms = match &group.platforms[..] {
        [] => String::new(),
        platforms => format!(" So nothing would build {}.", join(platforms)),
    };
    let what = format!("{}{others}{platforms}", problem.what);
    Problem { what, ..problem }
}

/// An agent that is asked for a platform builds it by itself: an emulator would be a silent fallback.
pub(in crate::commands) fn native(spec: &Spec, group: &Group, answer: Answer) -> Ready {
    let reported = answer.buildkit.platforms.first().and_then(|p| Platform::parse(p));
    let arch = reported.map(|platform| platform.arch);
    if spec.arch.is_none() || spec.arch == arch {
        return Ok(answer);
    }
    Err(Problem::new(
        ErrorCode::WrongArchitecture,
        format!(
            "The agent {}/{} is to build {} natively, and BuildKit in its pod {} is of another architecture; it builds, \
             the native one first: {}.",
            spec.namespace,
            spec.name,
            join(&group.platforms),
            answer.pod,
            answer.buildkit.platforms.join(", ")
        ),
        "Give that Deployment the node selector kubernetes.io/arch and an image of that architecture (`deploy: always` \
         does so for one of ours), or set `name` to that of other agents.",
    ))
}

fn join(platforms: &[Platform]) -> String {
    let names: Vec<String> = platforms.iter().map(ToString::to_string).collect();
    names.join(", ")
}

fn say(job: &Job, spec: &Spec, answer: &Answer) {
    job.report.done(&format!(
        "BuildKit {} answers from the pod {}: {}",
        answer.buildkit.version,
        answer.pod,
        answer.buildkit.platforms.join(", ")
    ));
    if let Some(disk) = answer.disk {
        say_disk(spec, disk);
    }
}

fn say_disk(spec: &Spec, disk: Use) {
    Report::detail(&format!("its volume: {disk}"));
    let judged = judge::disk(disk);
    if judged.state == State::Warning {
        let text = format!(
            "The cache volume of the agent {}/{} is almost full: {disk}. {}",
            spec.namespace, spec.name, judged.remedy
        );
        github::warning("Cache volume almost full", &text);
    }
}

fn colder(job: &Job, spec: &Spec, trouble: &Problem) {
    let text = format!(
        "The agent {}/{} serves this job instead of the one that has the cache of the key {:?}, so its cache is colder. \
         {}",
        spec.namespace, spec.name, job.key, trouble.what
    );
    github::warning("Another agent serves this job", &text);
    Report::detail(&format!(
        "its cache is colder: it serves in the place of another for the key {:?}",
        job.key
    ));
}
