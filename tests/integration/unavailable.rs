//! `unavailable`: what a job does that GitHub gives no OIDC token.

use std::process::Command;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::machine::Machine;

/// Returns the command of a job of this event, whose inputs name a role.
fn step(machine: &Machine, event: &str, actor: &str, payload: &Value, unavailable: &str) -> Result<Command> {
    let event_path = machine.write("event.json", &payload.to_string())?;
    let mut step = machine.step(
        "connect",
        &[
            ("cluster", "shop"),
            ("region", "eu-west-1"),
            ("role-to-assume", "arn:aws:iam::123456789012:role/ci"),
            ("timeout", "2s"),
            ("unavailable", unavailable),
        ],
    );
    for name in ["output", "env", "path", "state"] {
        let file = machine.write(&format!("github/{name}"), "")?;
        step.env(format!("GITHUB_{}", name.to_uppercase()), file);
    }
    step.env("GITHUB_EVENT_NAME", event)
        .env("GITHUB_EVENT_PATH", event_path)
        .env("GITHUB_ACTOR", actor);
    Ok(step)
}

fn pull_request(of: &str) -> Value {
    json!({"number": 7, "pull_request": {
        "head": {"ref": "fix", "repo": {"full_name": of}},
        "base": {"ref": "main", "repo": {"full_name": "acme/shop"}},
    }})
}

#[test]
fn local_builds_of_jobs_without_a_token() -> Result<()> {
    let mut texts = String::new();
    for (event, actor, payload) in [
        ("pull_request", "octocat", pull_request("octocat/shop")),
        ("pull_request", "dependabot[bot]", pull_request("acme/shop")),
    ] {
        let machine = Machine::with_buildx("github.com/docker/buildx v0.36.1 0123abc")?;
        let command = step(&machine, event, actor, &payload, "local")?;
        texts += &format!("== {event}, {actor}\n{}\n", machine.error(command)?);
        let output = std::fs::read_to_string(machine.path("github/output"))?;
        let lines: Vec<&str> = output.lines().collect();
        ensure!(
            lines.len() == 3 && lines[0].starts_with("remote<<") && lines[1] == "false",
            "{output}"
        );
        for name in ["env", "path", "state"] {
            let text = std::fs::read_to_string(machine.path("github").join(name))?;
            ensure!(text.is_empty(), "{name}: {text}");
        }
        ensure!(
            !machine.path(".docker").exists(),
            "docker's directory was created"
        );
        let post = machine.step("disconnect", &[]).output()?;
        ensure!(post.status.success(), "{post:?}");
    }
    insta::assert_snapshot!(texts);
    Ok(())
}

/// Every other failure is one, whatever `unavailable` is.
#[test]
fn other_failures_are_errors() -> Result<()> {
    let mut texts = String::new();
    let fork = pull_request("octocat/shop");
    for (name, event, payload, unavailable, with_token) in [
        ("fork, fail", "pull_request", &fork, "fail", false),
        (
            "own branch",
            "pull_request",
            &pull_request("acme/shop"),
            "local",
            false,
        ),
        (
            "pull_request_target",
            "pull_request_target",
            &fork,
            "local",
            false,
        ),
        ("fork with a token", "pull_request", &fork, "local", true),
    ] {
        let machine = Machine::with_buildx("github.com/docker/buildx v0.37.0 0123abc")?;
        let mut command = step(&machine, event, "octocat", payload, unavailable)?;
        if with_token {
            command.envs([
                ("ACTIONS_ID_TOKEN_REQUEST_URL", "http://127.0.0.1:1/token"),
                ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "t"),
            ]);
        }
        texts += &format!("== {name}\n{}\n", machine.error(command)?);
        let output = std::fs::read_to_string(machine.path("github/output"))?;
        ensure!(output.is_empty(), "{name}: {output}");
    }
    insta::assert_snapshot!(texts);
    Ok(())
}
