//! Registration of just-in-time runners, against a fake of GitHub's API.

mod fake_github;

use std::time::Duration;

use serde_json::Value;

use self::fake_github::{
    APP, CONFIGURATION, FakeRunnerApi, FakeState, INSTALLATION_TOKEN, PKCS1, PKCS8, TOKEN,
};
use super::*;

fn state(scope: &'static str) -> FakeState {
    FakeState {
        scope,
        permitted: true,
        ..FakeState::default()
    }
}

fn spec() -> RunnerSpec {
    RunnerSpec {
        name: "i-0abc".into(),
        labels: vec!["self-hosted".into(), "gpu".into()],
        group: None,
    }
}

fn token() -> GitHubCredential {
    GitHubCredential::Token(Secret::new(TOKEN))
}

fn app(pem: &str) -> GitHubCredential {
    GitHubCredential::App(Box::new(
        AppKey::parse(APP, &Secret::new(pem), "a file").expect("a key"),
    ))
}

/// Registers a runner. `path` is the path of the scope's URL.
fn register(
    github: &FakeRunnerApi,
    path: &str,
    credential: &GitHubCredential,
    spec: &RunnerSpec,
) -> anyhow::Result<Secret> {
    let scope = RunnerScope::parse(&format!("{}/{path}", github.host)).expect("a scope");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let deadline = Instant::now() + Duration::from_secs(20);
    runtime.block_on(just_in_time(&scope, credential, spec, deadline))
}

/// Returns the error, after checking that it contains no secret.
fn problem(result: anyhow::Result<Secret>) -> Problem {
    let error = result.expect_err("an error");
    let text = format!("{error:?}");
    for secret in [TOKEN, INSTALLATION_TOKEN, CONFIGURATION] {
        assert!(!text.contains(secret), "{text}");
    }
    error.downcast().expect("a problem")
}

#[test]
fn a_token_registers_in_each_kind_of_scope() {
    for (scope, path) in [
        ("/repos/acme/shop", "acme/shop"),
        ("/orgs/acme", "acme"),
        ("/enterprises/acme", "enterprises/acme"),
    ] {
        let github = FakeRunnerApi::new(state(scope));
        let configuration = register(&github, path, &token(), &spec()).expect("registered");
        assert_eq!(configuration.expose(), CONFIGURATION);
        let line = format!("POST {scope}/actions/runners/generate-jitconfig");
        assert_eq!(github.requests(), [line.as_str()]);
        let expected = json!({
            "name": "i-0abc", "runner_group_id": 1, "labels": ["self-hosted", "gpu"], "work_folder": "_work",
        });
        assert_eq!(github.body(&line), expected);
    }
}

#[test]
fn an_app_requests_only_the_permission_it_needs() {
    for (scope, path, pem, expected) in [
        (
            "/repos/acme/shop",
            "acme/shop",
            PKCS1,
            json!({"repositories": ["shop"], "permissions": {"administration": "write"}}),
        ),
        (
            "/orgs/acme",
            "acme",
            PKCS8,
            json!({"permissions": {"organization_self_hosted_runners": "write"}}),
        ),
    ] {
        let github = FakeRunnerApi::new(state(scope));
        let configuration = register(&github, path, &app(pem), &spec()).expect("registered");
        assert_eq!(configuration.expose(), CONFIGURATION);
        let tokens = "POST /app/installations/77/access_tokens";
        let requests = github.requests();
        assert_eq!(
            requests[..2],
            [format!("GET {scope}/installation"), tokens.to_owned()]
        );
        assert_eq!(requests.len(), 3);
        assert_eq!(github.body(tokens), expected);
    }
}

#[test]
fn a_group_is_found_on_any_page() {
    let groups = |number: usize| (0..number).map(|n| format!("group-{n}")).collect::<Vec<_>>();
    let github = FakeRunnerApi::new(FakeState {
        groups: groups(150),
        ..state("/orgs/acme")
    });
    let with_group = |group: &str| RunnerSpec {
        group: Some(group.into()),
        ..spec()
    };
    register(&github, "acme", &token(), &with_group("group-142")).expect("registered");
    let body = github.body("POST /orgs/acme/actions/runners/generate-jitconfig");
    assert_eq!(body["runner_group_id"], 142);
    assert_eq!(github.requests().len(), 3);
    let unknown = problem(register(&github, "acme", &token(), &with_group("gpu")));
    assert!(
        unknown.what.contains("group-0") && unknown.remedy.contains("--runner-group"),
        "{unknown:?}"
    );
    let default = FakeRunnerApi::new(state("/orgs/acme"));
    register(&default, "acme", &token(), &with_group("Default")).expect("registered");
    assert_eq!(default.requests().len(), 1, "the default group needs no request");
}

#[test]
fn an_offline_runner_is_replaced_and_an_online_one_is_not() {
    let with_status = |status| FakeState {
        runners: vec![("other", "online"), ("i-0abc", status)],
        ..state("/orgs/acme")
    };
    let offline = FakeRunnerApi::new(with_status("offline"));
    register(&offline, "acme", &token(), &spec()).expect("registered");
    let requests = offline.requests();
    assert_eq!(requests[2], "DELETE /orgs/acme/actions/runners/1");
    assert_eq!(requests.len(), 4);

    let online = FakeRunnerApi::new(with_status("online"));
    let in_use = problem(register(&online, "acme", &token(), &spec()));
    assert_eq!(in_use.code, ErrorCode::RunnerNameInUse);
    assert!(in_use.remedy.contains("--runner-name"));
    assert!(
        online
            .requests()
            .iter()
            .all(|request| !request.starts_with("DELETE"))
    );
}

fn failure(status: u16, text: &str) -> (u16, Value) {
    (
        status,
        json!({"message": text, "documentation_url": "https://docs.github.com/rest"}),
    )
}

#[test]
fn each_error_status_of_a_token_has_its_remedy() {
    for (scope, path, status, text, remedy) in [
        ("/orgs/acme", "acme", 401, "Bad credentials", "Create a new token"),
        (
            "/repos/acme/shop",
            "acme/shop",
            403,
            "Resource not accessible by personal access token",
            "Administration: write",
        ),
        (
            "/orgs/acme",
            "acme",
            404,
            "Not Found",
            "Self-hosted runners: write",
        ),
        (
            "/enterprises/acme",
            "enterprises/acme",
            404,
            "Not Found",
            "manage_runners:enterprise",
        ),
        ("/orgs/acme", "acme", 422, "Invalid label", "--runner-labels"),
    ] {
        let github = FakeRunnerApi::new(FakeState {
            failures: vec![failure(status, text)],
            ..state(scope)
        });
        let problem = problem(register(&github, path, &token(), &spec()));
        assert_eq!(problem.code, ErrorCode::RegistrationFailed);
        for words in [&status.to_string(), text, scope] {
            assert!(problem.what.contains(words), "{}", problem.what);
        }
        assert!(problem.remedy.contains(remedy), "{status}: {}", problem.remedy);
        assert_eq!(github.requests().len(), 1, "retried after {status}");
    }
    let details =
        json!({"message": "Validation Failed", "errors": [{"message": "name is too long"}, "and odd"]});
    let github = FakeRunnerApi::new(FakeState {
        failures: vec![(422, details)],
        ..state("/orgs/acme")
    });
    let problem = problem(register(&github, "acme", &token(), &spec()));
    assert!(
        problem
            .what
            .contains("Validation Failed; name is too long; and odd"),
        "{}",
        problem.what
    );
}

#[test]
fn each_error_status_of_an_app_has_its_remedy() {
    let elsewhere = FakeRunnerApi::new(state("/orgs/other"));
    let problem_of = |github: &FakeRunnerApi, credential: &GitHubCredential| {
        problem(register(github, "acme", credential, &spec()))
    };
    let not_installed = problem_of(&elsewhere, &app(PKCS1));
    assert!(
        not_installed.what.contains("401") || not_installed.what.contains("404"),
        "{not_installed:?}"
    );

    let missing = FakeRunnerApi::new(FakeState {
        failures: vec![failure(404, "Not Found")],
        ..state("/orgs/acme")
    });
    let problem = problem_of(&missing, &app(PKCS1));
    assert!(problem.remedy.contains("Install the App"), "{}", problem.remedy);

    let forbidden = FakeRunnerApi::new(FakeState {
        permitted: false,
        ..state("/orgs/acme")
    });
    let problem = problem_of(&forbidden, &app(PKCS1));
    assert!(problem.what.contains("not granted"), "{}", problem.what);
    assert!(
        problem.remedy.contains("Self-hosted runners: write"),
        "{}",
        problem.remedy
    );

    let github = FakeRunnerApi::new(state("/orgs/acme"));
    let other = AppKey::parse("Iv23other", &Secret::new(PKCS1), "a file").expect("a key");
    let problem = problem_of(&github, &GitHubCredential::App(Box::new(other)));
    assert!(problem.what.contains("Integration not found"), "{}", problem.what);
    assert!(
        problem.remedy.contains("that the key belongs to the App"),
        "{}",
        problem.remedy
    );
}

#[test]
fn server_errors_are_retried() {
    let github = FakeRunnerApi::new(FakeState {
        failures: vec![failure(503, "Unavailable"), failure(500, "Server Error")],
        ..state("/orgs/acme")
    });
    register(&github, "acme", &token(), &spec()).expect("registered");
    assert_eq!(github.requests().len(), 3);
}

#[test]
fn an_invalid_key_says_what_is_wrong() {
    for (pem, expected) in [
        ("", "no private key in PEM format"),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n",
            "is not valid",
        ),
        (
            "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n",
            "not an RSA key",
        ),
    ] {
        let problem = AppKey::parse(APP, &Secret::new(pem), "/a/file").expect_err("no key");
        assert_eq!(problem.code, ErrorCode::InvalidAppKey);
        assert!(
            problem.what.contains(expected) && problem.what.contains("/a/file"),
            "{}",
            problem.what
        );
    }
    let key = AppKey::parse(APP, &Secret::new(PKCS1), "a file").expect("a key");
    assert_eq!(format!("{key:?}"), format!("the key of App {APP}"));
}

/// Whole errors, as a user reads them.
#[test]
fn errors_of_registration() {
    let failing = |scope, path: &str, credential: &GitHubCredential, status, text: &str| {
        let github = FakeRunnerApi::new(FakeState {
            failures: vec![failure(status, text)],
            ..state(scope)
        });
        let error = problem(register(&github, path, credential, &spec()));
        error.to_string().replace(&github.host, "github.example.com")
    };
    let online = FakeRunnerApi::new(FakeState {
        runners: vec![("i-0abc", "online")],
        ..state("/orgs/acme")
    });
    let in_use = problem(register(&online, "acme", &token(), &spec())).to_string();
    let missing = "Resource not accessible by personal access token";
    let errors = [
        failing("/orgs/acme", "acme", &token(), 401, "Bad credentials"),
        failing("/repos/acme/shop", "acme/shop", &token(), 403, missing),
        failing("/orgs/acme", "acme", &app(PKCS1), 404, "Not Found"),
        in_use.replace(&online.host, "github.example.com"),
        AppKey::parse(APP, &Secret::new(""), "/etc/app.pem")
            .expect_err("no key")
            .to_string(),
    ];
    insta::assert_snapshot!(errors.join("\n\n"));
}
