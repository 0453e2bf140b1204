//! If a request to GitHub fails, all targets are built, and the reason contains the error.

use std::net::TcpListener;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use lab::SilentServer;

use super::*;

const DATE: &str = "Wed, 25 Nov 2026 19:00:00 GMT";
const DATE_SECONDS: u64 = 1_795_633_200;

/// Creates a repository with two commits that differ in three files.
fn repository() -> (Repository, [String; 2]) {
    let repository = Repository::new();
    let commits = repository.of_changes(2, 10, 3);
    (repository, commits)
}

/// Returns a fake that first sends these responses.
fn with_faults(faults: Vec<HttpResponse>) -> FakeBehavior {
    FakeBehavior {
        faults,
        ..FakeBehavior::default()
    }
}

/// Returns a fake that sends this response to every request.
fn always(response: HttpResponse) -> FakeBehavior {
    FakeBehavior {
        always: Some(response),
        ..FakeBehavior::default()
    }
}

#[test]
fn the_end_of_a_rate_limit_is_awaited() {
    let (repository, commits) = repository();
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock")
        .as_secs();
    let primary = |date: &str, reset: u64| {
        github_error(403, "API rate limit exceeded for installation ID 1.")
            .header("x-ratelimit-limit", 1000)
            .header("x-ratelimit-remaining", 0)
            .header("x-ratelimit-reset", reset)
            .header("date", date)
    };
    assert_ne!(now, DATE_SECONDS);
    for (name, fault, at_least) in [
        // The wait follows the server's clock, not this machine's.
        ("primary", primary(DATE, DATE_SECONDS + 1), 2),
        (
            "secondary",
            github_error(403, "You have exceeded a secondary rate limit.").header("retry-after", 2),
            2,
        ),
        (
            "too many",
            github_error(429, "Too many requests").header("retry-after", 1),
            1,
        ),
    ] {
        let github = FakeGitHub::new(&repository, with_faults(vec![fault]));
        let began = Instant::now();
        let changes = MatrixJob::push(&commits, &github).changes();
        assert_eq!(changes.len(), 3, "{name}");
        assert!(
            began.elapsed() >= Duration::from_secs(at_least),
            "{name}: {:?}",
            began.elapsed()
        );
        assert_eq!(github.requests().len(), 3, "{name}");
    }
}

#[test]
fn a_rate_limit_longer_than_the_timeout_fails_at_once() {
    let (repository, commits) = repository();
    for fault in [
        github_error(403, "API rate limit exceeded")
            .header("x-ratelimit-remaining", 0)
            .header("x-ratelimit-reset", DATE_SECONDS + 1800)
            .header("date", DATE),
        github_error(403, "You have exceeded a secondary rate limit").header("retry-after", 1801),
    ] {
        let github = FakeGitHub::new(&repository, always(fault));
        let began = Instant::now();
        let reason = MatrixJob::push(&commits, &github).reason();
        assert!(
            reason.contains("rate limit is exhausted for another 1801 s"),
            "{reason}"
        );
        assert!(began.elapsed() < Duration::from_secs(5));
        assert_eq!(github.requests().len(), 1);
    }
}

#[test]
fn a_server_error_is_retried() {
    let (repository, commits) = repository();
    let faults = [500, 502, 503].map(|status| github_error(status, "Server Error"));
    let github = FakeGitHub::new(&repository, with_faults(faults.to_vec()));
    assert_eq!(MatrixJob::push(&commits, &github).changes().len(), 3);
    assert_eq!(github.requests().len(), 5);
}

#[test]
fn a_permanent_server_error_ends_the_retries() {
    let (repository, commits) = repository();
    let github = FakeGitHub::new(&repository, always(github_error(500, "Server Error")));
    let mut job = MatrixJob::push(&commits, &github);
    job.event.api_timeout = Duration::from_secs(2);
    let began = Instant::now();
    let reason = job.reason();
    for word in [
        "cannot determine what changed",
        "500 Internal Server Error",
        "Gave up after ",
    ] {
        assert!(reason.contains(word), "{reason}");
    }
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn an_unreachable_server_builds_all() {
    let (repository, commits) = repository();
    let github = FakeGitHub::new(&repository, FakeBehavior::default());
    let mut job = MatrixJob::push(&commits, &github);
    job.event.api_timeout = Duration::from_secs(1);
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("an address").port()
    };
    job.event.api_url = Some(format!("http://127.0.0.1:{port}"));
    let reason = job.reason();
    assert!(reason.contains("Connection refused"), "{reason}");
    let silent = SilentServer::listen().expect("a server");
    job.event.api_url = Some(format!("http://{}", silent.address().expect("an address")));
    let reason = job.reason();
    assert!(reason.contains("no response within"), "{reason}");
    job.event.api_url = Some("no address".into());
    assert!(job.reason().contains("no address"));
    job.event.repository = None;
    assert!(job.reason().contains("GITHUB_REPOSITORY"));
}

#[test]
fn a_denied_request_builds_all_and_the_reason_has_the_response() {
    let (repository, commits) = repository();
    let private = || FakeBehavior {
        token: Some("right"),
        ..FakeBehavior::default()
    };
    let forbidden = || always(github_error(403, "Resource not accessible by integration"));
    for (behavior, token, status) in [
        (private(), Some("wrong"), "401 Unauthorized: Bad credentials"),
        (private(), None, "404 Not Found: Not Found"),
        (
            forbidden(),
            Some("right"),
            "403 Forbidden: Resource not accessible by integration",
        ),
    ] {
        let github = FakeGitHub::new(&repository, behavior);
        let mut job = MatrixJob::push(&commits, &github);
        job.token = token;
        let reason = job.reason();
        assert!(reason.contains(status), "{reason}");
        assert!(!reason.contains("right") && !reason.contains("wrong"), "{reason}");
        assert_eq!(github.requests().len(), 1, "not retried");
    }
    let github = FakeGitHub::new(&repository, private());
    let mut job = MatrixJob::push(&commits, &github);
    job.token = Some("right");
    assert_eq!(job.changes().len(), 3);
}

#[test]
fn an_unknown_commit_builds_all() {
    let (repository, [_, after]) = repository();
    let github = FakeGitHub::new(&repository, FakeBehavior::default());
    let commits = ["1".repeat(40), after];
    let reason = MatrixJob::push(&commits, &github)
        .in_dir(repository.path())
        .reason();
    assert!(reason.contains(&commits[0]) && reason.contains("404"), "{reason}");
}

#[test]
fn the_url_of_an_enterprise_server_may_have_a_path() {
    let (repository, commits) = repository();
    let behavior = FakeBehavior {
        prefix: "/api/v3",
        ..FakeBehavior::default()
    };
    let github = FakeGitHub::new(&repository, behavior);
    let mut job = MatrixJob::push(&commits, &github);
    assert_eq!(job.changes().len(), 3);
    job.event.api_url = Some(format!("{}/", github.url));
    assert_eq!(job.changes().len(), 3);
}

#[test]
fn a_redirect_of_a_renamed_repository_is_followed_on_the_same_server() {
    let (repository, commits) = repository();
    let moved = |to: String| github_error(301, "Moved Permanently").header("location", to);
    let github = FakeGitHub::new(&repository, FakeBehavior::default());
    let target = format!(
        "{}/repos/acme/shop/git/trees/{}?recursive=1",
        github.url, commits[0]
    );
    let github = FakeGitHub::new(&repository, with_faults(vec![moved(target.clone())]));
    // The redirect names another server, so only its path is followed.
    assert_eq!(MatrixJob::push(&commits, &github).changes().len(), 3);
    assert_eq!(github.requests().len(), 3);
    let github = FakeGitHub::new(&repository, always(moved(target)));
    let reason = MatrixJob::push(&commits, &github).reason();
    assert!(reason.contains("301"), "{reason}");
    assert_eq!(github.requests().len(), 4);
}

#[test]
fn an_invalid_response_builds_all() {
    let (repository, commits) = repository();
    for body in [
        "<html>Sign in to the proxy</html>",
        "{}",
        r#"{"tree": [{"path": "a", "mode": "file", "sha": "1"}]}"#,
        r#"{"tree": [{"path": "a", "mode": "100644"}]}"#,
        "",
    ] {
        let github = FakeGitHub::new(&repository, always(HttpResponse::new(200, body)));
        let reason = MatrixJob::push(&commits, &github).reason();
        assert!(
            reason.contains("a response that cannot be used"),
            "{body}: {reason}"
        );
        assert_eq!(github.requests().len(), 1, "not retried");
    }
}
