//! An API server that temporarily rejects requests: 429 Too Many Requests and 409 Conflict.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::support::scenario::Scenario;
use crate::support::{LAB, kubectl, run, wait_for};

#[test]
fn too_many_requests_briefly() -> Result<()> {
    let mut scenario = Scenario::new("busy", 60)?;
    scenario.deploy_agent()?;
    let level = NoSeats::for_jobs_of(&scenario)?;
    let mut step = scenario.start()?;
    step.wait_for_line("Retrying")?;
    drop(level);
    scenario.expect_success_of(step).map(drop)
}

#[test]
fn too_many_requests_permanently() -> Result<()> {
    let mut scenario = Scenario::new("busy-always", 5)?;
    let level = NoSeats::for_jobs_of(&scenario)?;
    scenario.expect_failure("API server overloaded or failing", &["429", "timeout of 5 s"])?;
    drop(level);
    scenario.expect_recovery()
}

#[test]
fn conflict_three_times() -> Result<()> {
    let mut scenario = Scenario::new("conflict", 60)?;
    let webhook = Conflict::three_times(&scenario)?;
    scenario.expect_success()?;
    ensure!(webhook.requests()? > 3, "the webhook received too few requests");
    Ok(())
}

/// A priority level of the API server without seats (API Priority and Fairness), for the jobs in one namespace. An
/// idle level still admits one request. The test keeps one open whose body never arrives, so all others get a 429.
struct NoSeats {
    name: String,
    blocking: Option<Child>,
}

impl NoSeats {
    fn for_jobs_of(scenario: &Scenario) -> Result<Self> {
        scenario.namespace.apply(
            r#"
apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: PriorityLevelConfiguration
metadata: {name: NAMESPACE}
spec:
  type: Limited
  limited: {nominalConcurrencyShares: 0, lendablePercent: 0, borrowingLimitPercent: 0, limitResponse: {type: Reject}}
---
apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: FlowSchema
metadata: {name: NAMESPACE}
spec:
  matchingPrecedence: 2
  priorityLevelConfiguration: {name: NAMESPACE}
  rules:
  - subjects: [{kind: Group, group: {name: ci}}]
    resourceRules: [{verbs: ["*"], apiGroups: ["*"], resources: ["*"], namespaces: [NAMESPACE]}]
"#,
        )?;
        let mut level = Self {
            name: scenario.namespace.0.clone(),
            blocking: None,
        };
        // The server applies both objects a moment later.
        let uid = "jsonpath={.metadata.uid}";
        let uid = kubectl(&["get", "flowschema", &level.name, "-o", uid])?;
        wait_for("the API server to know the level", || {
            let mut get = level.request_as_job("pods");
            let headers = run(get.args(["--output", "/dev/null", "--dump-header", "-"]))?;
            Ok(headers.contains(&uid))
        })?;
        wait_for("the API server to reject", || {
            level.block()?;
            let mut get = level.request_as_job("pods");
            let code = run(get.args(["--output", "/dev/null", "--write-out", "%{http_code}"]))?;
            Ok(code == "429")
        })?;
        Ok(level)
    }

    /// Keeps the blocking request open. The server rejects it while another request of the test occupies the level.
    fn block(&mut self) -> Result<()> {
        if let Some(blocking) = &mut self.blocking
            && blocking.try_wait()?.is_none()
        {
            return Ok(());
        }
        let mut blocking = self.request_as_job("configmaps");
        blocking.args(["--request", "POST", "--upload-file", "-"]);
        blocking.stdin(Stdio::piped()).stdout(Stdio::null());
        self.blocking = Some(blocking.spawn()?);
        Ok(())
    }

    /// Returns a curl command that requests objects of the namespace as a job. kubectl would retry after a 429.
    fn request_as_job(&self, resource: &str) -> Command {
        let pki = LAB.dir.join("pki");
        let mut curl = Command::new("curl");
        curl.arg("--silent").arg("--http1.1");
        curl.arg("--cacert").arg(pki.join("ca.crt"));
        curl.arg("--cert").arg(pki.join("admin.crt"));
        curl.arg("--key").arg(pki.join("admin.key"));
        curl.args([
            "--header",
            "Impersonate-User: job",
            "--header",
            "Impersonate-Group: ci",
        ]);
        curl.arg(format!(
            "{}/api/v1/namespaces/{}/{resource}",
            LAB.api_server, self.name
        ));
        curl
    }
}

impl Drop for NoSeats {
    fn drop(&mut self) {
        if let Some(mut blocking) = self.blocking.take() {
            let _ = blocking.kill();
            let _ = blocking.wait();
        }
        for kind in ["flowschema", "prioritylevelconfiguration"] {
            if let Err(error) = kubectl(&["delete", kind, &self.name]) {
                eprintln!("{kind} stays: {error:#}");
            }
        }
    }
}

/// An admission webhook that answers 409 three times, then allows.
const WEBHOOK: &str = r#"
import http.server, json, ssl, sys
certificate, key, host, port = sys.argv[1:]
requests = 0
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(requests)
    def do_POST(self):
        global requests
        review = json.loads(self.rfile.read(int(self.headers["content-length"])))
        requests += 1
        answer = {"uid": review["request"]["uid"], "allowed": requests > 3}
        if requests <= 3:
            answer["status"] = {"code": 409, "reason": "Conflict", "message": "the object has been modified"}
        self.answer({"apiVersion": review["apiVersion"], "kind": review["kind"], "response": answer})
    def answer(self, content):
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
server = http.server.HTTPServer((host, int(port)), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"#;

struct Conflict {
    server: Child,
    url: String,
    name: String,
    _dir: tempfile::TempDir,
}

impl Conflict {
    fn three_times(scenario: &Scenario) -> Result<Self> {
        let (host, _) = LAB.registry.split_once(':').context("no port")?;
        let port = TcpListener::bind((host, 0))?.local_addr()?.port().to_string();
        let dir = tempfile::tempdir()?;
        let [key, certificate] = ["key.pem", "certificate.pem"].map(|name| dir.path().join(name));
        let mut openssl = Command::new("openssl");
        openssl.args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ]);
        openssl.args([
            "-subj",
            "/CN=webhook",
            "-addext",
            &format!("subjectAltName=IP:{host}"),
        ]);
        run(openssl.arg("-keyout").arg(&key).arg("-out").arg(&certificate))?;
        let mut python = Command::new(&LAB.python);
        let python = python
            .args(["-c", WEBHOOK])
            .arg(&certificate)
            .arg(&key)
            .args([host, &port]);
        let server = python.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let ca = run(Command::new("base64").arg("--wrap=0").arg(&certificate))?;
        let webhook = Self {
            server,
            url: format!("https://{host}:{port}/"),
            name: scenario.namespace.0.clone(),
            _dir: dir,
        };
        wait_for("the webhook to listen", || Ok(webhook.requests().is_ok()))?;
        let configuration = r#"
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: NAMESPACE}
webhooks:
- name: conflict.example.com
  clientConfig: {url: "URL", caBundle: CA}
  rules: [{operations: ["*"], apiGroups: [apps], apiVersions: ["*"], resources: [deployments]}]
  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: NAMESPACE}}
  sideEffects: None
  admissionReviewVersions: [v1]
"#;
        let configuration = configuration
            .replace("URL", &webhook.url)
            .replace("CA}", &format!("{ca}}}"));
        scenario.namespace.apply(&configuration)?;
        Ok(webhook)
    }

    /// Returns how many requests it received.
    fn requests(&self) -> Result<u32> {
        let answer = run(Command::new("curl").args(["--silent", "--insecure", "--fail", &self.url]))?;
        Ok(answer.trim().parse()?)
    }
}

impl Drop for Conflict {
    fn drop(&mut self) {
        if let Err(error) = kubectl(&["delete", "validatingwebhookconfiguration", &self.name]) {
            eprintln!("the webhook's configuration stays: {error:#}");
        }
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
