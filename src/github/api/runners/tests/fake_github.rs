//! A fake of GitHub's REST API for just-in-time runners, on the loopback interface
//! (<https://docs.github.com/rest/actions/self-hosted-runners>, <https://docs.github.com/rest/apps/apps>).

use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lab::{HttpRequest, HttpResponse, HttpServer};
use ring::signature::{KeyPair, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use serde_json::{Value, json};

pub const TOKEN: &str = "ghp_aTokenOfNobody";
pub const INSTALLATION_TOKEN: &str = "ghs_aTokenOfAnInstallation";
pub const APP: &str = "Iv23liabcdef";
pub const CONFIGURATION: &str = "eyJydW5uZXIiOiJqdXN0LWluLXRpbWUifQ==";

/// The App's key, in PKCS#1 as GitHub issues it and in PKCS#8.
pub const PKCS1: &str = include_str!("unregistered-app.pkcs1.pem");
pub const PKCS8: &str = include_str!("unregistered-app.pkcs8.pem");

/// The state of the fake.
#[derive(Default)]
pub struct FakeState {
    /// The path of the scope in the API, such as `/orgs/acme`.
    pub scope: &'static str,
    /// The name and the status of each runner.
    pub runners: Vec<(&'static str, &'static str)>,
    pub groups: Vec<String>,
    /// Responses to return first, from the last to the first.
    pub failures: Vec<(u16, Value)>,
    /// Whether the App has the permission that it requests.
    pub permitted: bool,
}

pub struct FakeRunnerApi {
    pub host: String,
    state: Arc<Mutex<Recorder>>,
}

struct Recorder {
    state: FakeState,
    requests: Vec<(String, Value)>,
}

impl FakeRunnerApi {
    pub fn new(state: FakeState) -> Self {
        let requests = Vec::new();
        let state = Arc::new(Mutex::new(Recorder { state, requests }));
        let served = state.clone();
        let server = HttpServer::start(move |request| {
            let body = serde_json::from_slice(&request.body).unwrap_or_default();
            let (status, answer) = served.lock().expect("state").answer(request, body);
            let answer = if status == 204 {
                String::new()
            } else {
                answer.to_string()
            };
            HttpResponse::new(status, answer)
        });
        let host = server.expect("a server").url;
        Self { host, state }
    }

    /// Returns method and path of each request, in order.
    pub fn requests(&self) -> Vec<String> {
        let state = self.state.lock().expect("state");
        state.requests.iter().map(|(line, _)| line.clone()).collect()
    }

    /// Returns the body of the last request with this method and path.
    pub fn body(&self, line: &str) -> Value {
        let state = self.state.lock().expect("state");
        let found = state.requests.iter().rev().find(|(other, _)| other == line);
        found.expect(line).1.clone()
    }
}

fn message(status: u16, text: &str) -> (u16, Value) {
    let more = "https://docs.github.com/rest";
    (
        status,
        json!({"message": text, "documentation_url": more, "status": status.to_string()}),
    )
}

impl Recorder {
    fn answer(&mut self, request: &HttpRequest, body: Value) -> (u16, Value) {
        let (method, target) = (request.method.as_str(), request.target.as_str());
        let Some(route) = target.strip_prefix("/api/v3") else {
            return message(404, "Not Found");
        };
        let line = format!("{method} {route}");
        self.requests.push((line.clone(), body.clone()));
        if request.header("user-agent") != Some("remote-buildkit")
            || request.header("x-github-api-version").is_none()
        {
            return message(403, "Request forbidden by administrative rules");
        }
        if let Some(failure) = self.state.failures.pop() {
            return failure;
        }
        let bearer = request
            .header("authorization")
            .and_then(|value| value.strip_prefix("Bearer "));
        let bearer = bearer.unwrap_or_default();
        let scope = self.state.scope;
        if line == format!("GET {scope}/installation") || route.starts_with("/app/") {
            if let Err(why) = verify_app(bearer) {
                return message(401, why);
            }
            return match route {
                "/app/installations/77/access_tokens" if !self.state.permitted => message(
                    422,
                    "The permissions requested are not granted to this installation.",
                ),
                "/app/installations/77/access_tokens" => (201, json!({"token": INSTALLATION_TOKEN})),
                _ => (200, json!({"id": 77})),
            };
        }
        if ![TOKEN, INSTALLATION_TOKEN].contains(&bearer) {
            return message(401, "Bad credentials");
        }
        let Some(rest) = route.strip_prefix(&format!("{scope}/actions/")) else {
            return message(404, "Not Found");
        };
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        match (method, path) {
            ("GET", "runner-groups") => self.groups(query),
            ("GET", "runners") => self.runners(query),
            ("POST", "runners/generate-jitconfig") => self.generate(&body),
            ("DELETE", path) => {
                let id: usize = path
                    .strip_prefix("runners/")
                    .and_then(|id| id.parse().ok())
                    .expect("an id");
                self.state.runners.remove(id);
                (204, Value::Null)
            }
            _ => message(404, "Not Found"),
        }
    }

    fn groups(&self, query: &str) -> (u16, Value) {
        let number = |name: &str| -> usize {
            let mut parts = query.split('&').filter_map(|part| part.split_once('='));
            let (_, value) = parts.find(|(part, _)| *part == name).expect(name);
            value.parse().expect("a number")
        };
        let (size, page) = (number("per_page"), number("page"));
        let groups = self
            .state
            .groups
            .iter()
            .enumerate()
            .skip(size * (page - 1))
            .take(size);
        let groups: Vec<Value> = groups.map(|(id, name)| json!({"id": id, "name": name})).collect();
        (
            200,
            json!({"total_count": self.state.groups.len(), "runner_groups": groups}),
        )
    }

    fn runners(&self, query: &str) -> (u16, Value) {
        let runners = self.state.runners.iter().enumerate();
        let runners: Vec<Value> = runners
            .filter(|(_, (name, _))| query.contains(&format!("name={}", name.replace('-', "%2D"))))
            .map(|(id, (name, status))| json!({"id": id, "name": name, "os": "linux", "status": status, "busy": false}))
            .collect();
        (200, json!({"total_count": runners.len(), "runners": runners}))
    }

    fn generate(&self, body: &Value) -> (u16, Value) {
        let name = body["name"].as_str().expect("a name");
        if self.state.runners.iter().any(|(taken, _)| *taken == name) {
            return message(
                409,
                &format!("Already exists - A runner with the name {name} already exists."),
            );
        }
        assert!(body["labels"].as_array().is_some_and(|labels| !labels.is_empty()));
        assert!(body["runner_group_id"].is_u64());
        (
            201,
            json!({"runner": {"id": 1, "name": name}, "encoded_jit_config": CONFIGURATION}),
        )
    }
}

/// Verifies an App's JWT as GitHub does.
fn verify_app(jwt: &str) -> Result<(), &'static str> {
    let undecodable = "A JSON web token could not be decoded";
    let (signed, signature) = jwt.rsplit_once('.').ok_or(undecodable)?;
    let (head, claims) = signed.split_once('.').ok_or(undecodable)?;
    let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| undecodable);
    let json = |part: &str| serde_json::from_slice::<Value>(&decoded(part)?).map_err(|_| undecodable);
    let (head, claims) = (json(head)?, json(claims)?);
    let pem = PKCS8
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .collect::<String>();
    let der = base64::engine::general_purpose::STANDARD
        .decode(pem)
        .expect("base64");
    let pair = RsaKeyPair::from_pkcs8(&der).expect("a key");
    let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key().as_ref());
    if head["alg"] != "RS256" || key.verify(signed.as_bytes(), &decoded(signature)?).is_err() {
        return Err(undecodable);
    }
    if claims["iss"] != APP {
        return Err("Integration not found");
    }
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a time")
        .as_secs();
    let (issued, expires) = (
        claims["iat"].as_u64().ok_or(undecodable)?,
        claims["exp"].as_u64().ok_or(undecodable)?,
    );
    if issued > now {
        return Err(
            "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued",
        );
    }
    if expires <= now || expires > now + 600 {
        return Err("'Expiration time' claim ('exp') is too far in the future");
    }
    Ok(())
}
