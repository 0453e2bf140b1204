//! The examples that users copy: they parse, their parts fit together, and every flag in them exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use remote_buildkit_agent::manifests;
use serde_json::Value;

fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(file)
}

fn read(file: &str) -> Result<String> {
    fs::read_to_string(path(file)).with_context(|| format!("could not read {file}"))
}

fn yaml(file: &str) -> Result<Value> {
    serde_saphyr::from_str(&read(file)?).with_context(|| format!("{file} is not YAML"))
}

/// Returns the flags of `remote-buildkit runner` in a text, and checks that each one exists.
fn flags(file: &str, text: &str) -> Result<BTreeSet<String>> {
    let help = Command::new(env!("CARGO_BIN_EXE_remote-buildkit"))
        .args(["runner", "--help"])
        .output()?;
    let help = String::from_utf8(help.stdout)?;
    // `      --cluster <NAME>` or `  -n, --namespace <NAME>`.
    let known: BTreeSet<&str> = help
        .lines()
        .filter(|line| line.trim_start().starts_with('-'))
        .filter_map(|line| line.split(' ').find_map(|word| word.strip_prefix("--")))
        .collect();
    let words = text.split(|c: char| c.is_whitespace() || c == '\'' || c == '"');
    let found: BTreeSet<String> = words
        .filter_map(|word| word.strip_prefix("--").or_else(|| word.strip_prefix("FLAGS=--")))
        .map(|flag| flag.split('=').next().unwrap_or(flag).to_owned())
        .collect();
    for flag in &found {
        ensure!(
            known.contains(flag.as_str()),
            "{file}: runner has no flag --{flag}"
        );
    }
    Ok(found)
}

/// Checks that a shell can parse the script.
fn check_shell(file: &str, script: &str) -> Result<()> {
    let checked = Command::new("sh").args(["-nc", script]).output()?;
    ensure!(
        checked.status.success(),
        "{file}: {}",
        String::from_utf8_lossy(&checked.stderr)
    );
    Ok(())
}

/// Returns section, key and value of each setting in a systemd unit, split as systemd does it.
fn unit(text: &str) -> Result<Vec<(String, String, String)>> {
    let mut section = String::new();
    let mut found = Vec::new();
    for line in text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.to_owned();
            continue;
        }
        let (key, value) = line
            .split_once('=')
            .with_context(|| format!("not a setting: {line}"))?;
        found.push((section.clone(), key.to_owned(), value.to_owned()));
    }
    Ok(found)
}

#[test]
fn systemd_unit_uses_existing_flags() -> Result<()> {
    let file = "runner/remote-buildkit-runner.service";
    let settings = unit(&read(file)?)?;
    // systemd.unit(5), systemd.service(5), systemd.exec(5), systemd.kill(5).
    for (section, key, _) in &settings {
        let known: &[&str] = match section.as_str() {
            "Unit" => &[
                "Description",
                "Documentation",
                "Wants",
                "After",
                "StartLimitIntervalSec",
            ],
            "Service" => &[
                "EnvironmentFile",
                "Environment",
                "LoadCredential",
                "ExecStart",
                "Restart",
                "RestartSec",
                "KillMode",
                "KillSignal",
                "TimeoutStopSec",
            ],
            "Install" => &["WantedBy"],
            other => anyhow::bail!("unknown section: {other}"),
        };
        ensure!(known.contains(&key.as_str()), "[{section}] has no {key}");
    }
    let get = |key: &str| {
        let mut values = settings
            .iter()
            .filter(|(_, name, _)| name == key)
            .map(|(.., value)| value);
        values.next().with_context(|| format!("no {key}"))
    };
    let start = get("ExecStart")?;
    let words = start
        .strip_prefix("/usr/local/bin/remote-buildkit runner ")
        .context("ExecStart runs another program")?;
    let found = flags(file, words)?;
    for required in [
        "user",
        "github-url",
        "github-app-id",
        "github-app-key-file",
        "runner-dir",
    ] {
        ensure!(found.contains(required), "{start} has no --{required}");
    }
    let (credential, _) = get("LoadCredential")?.split_once(':').context("no credential")?;
    ensure!(
        start.contains(&format!("${{CREDENTIALS_DIRECTORY}}/{credential}")),
        "{start}"
    );
    // The machine's user data sets every variable.
    let user_data = read("runner/cloud-init.yaml")?;
    for variable in start.split('$').skip(1) {
        let name = variable.trim_start_matches('{');
        let name: String = name
            .chars()
            .take_while(|c| c.is_ascii_uppercase() || *c == '_')
            .collect();
        let is_set = name == "CREDENTIALS_DIRECTORY" || user_data.contains(&format!("{name}="));
        ensure!(is_set, "{name} is not set");
    }
    Ok(())
}

#[test]
fn user_data_is_valid_for_cloud_init() -> Result<()> {
    let file = "runner/cloud-init.yaml";
    ensure!(
        read(file)?.starts_with("#cloud-config\n"),
        "cloud-init does not recognize it"
    );
    let data = yaml(file)?;
    let keys: Vec<&String> = data.as_object().context("no settings")?.keys().collect();
    assert_eq!(keys, ["users", "write_files", "runcmd"]);
    let users = data["users"].as_array().context("no users")?;
    ensure!(
        users.iter().any(|user| user["name"] == "runner"),
        "no user for the jobs"
    );
    let mut written = BTreeSet::new();
    for entry in data["write_files"].as_array().context("no files")? {
        let (path, content) = (entry["path"].as_str(), entry["content"].as_str());
        written.insert(path.context("a file without a path")?.to_owned());
        let content = content.context("a file without content")?;
        ensure!(
            !content.contains("PRIVATE KEY") && !content.contains("ghp_"),
            "a secret in user data"
        );
        if path == Some("/etc/remote-buildkit/runner.env") {
            let found = flags(file, content)?;
            ensure!(found.contains("cluster") && found.contains("ecr"), "{found:?}");
        }
    }
    let script = data["runcmd"][0][2].as_str().context("no script")?;
    check_shell(file, script)?;
    for path in script
        .split_whitespace()
        .filter(|word| word.starts_with("/etc/remote-buildkit/"))
    {
        ensure!(written.contains(path), "{path} is not written");
    }
    let unit = unit(&read("runner/remote-buildkit-runner.service")?)?;
    let files: Vec<_> = unit
        .iter()
        .filter(|(_, key, _)| key == "EnvironmentFile")
        .collect();
    ensure!(files.iter().all(|(.., file)| written.contains(file)), "{files:?}");
    // Downloads are verified before use, and this repository's own files among them exist.
    for (before, after) in [
        ("sha256sum --check", "chmod"),
        ("sha256sum --check", "tar -x"),
        ("sha256sum", "systemctl"),
    ] {
        ensure!(
            script.find(before) < script.find(after),
            "{after} comes before {before}"
        );
    }
    let words: Vec<&str> = script.split_whitespace().collect();
    let ours: Vec<&str> = words
        .iter()
        .filter_map(|word| Some(word.split_once("/raw/VERSION/")?.1))
        .collect();
    assert_eq!(ours.len(), 2, "the program and the unit: {ours:?}");
    for file in ours {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        ensure!(path.exists(), "{file} does not exist");
    }
    let user_data = read(file)?;
    for pair in words.windows(2).filter(|pair| pair[0] == "-o") {
        ensure!(
            user_data.contains(&format!("_SHA256  {}\n", pair[1])),
            "{} is not checked",
            pair[1]
        );
    }
    Ok(())
}

#[test]
fn files_for_actions_runner_controller_fit_together() -> Result<()> {
    let values = yaml("runner/arc-values.yaml")?;
    let spec = &values["template"]["spec"];
    let account = spec["serviceAccountName"]
        .as_str()
        .context("no service account")?;
    let container = &spec["containers"][0];
    // The chart finds the container by this name.
    assert_eq!(container["name"], "runner");
    let image = container["image"].as_str().context("no image")?;
    ensure!(!image.ends_with(":latest") && image.contains(':'), "{image}");
    let script = container["command"][2].as_str().context("no script")?;
    check_shell("arc-values.yaml", script)?;
    let found = flags("arc-values.yaml", script)?;
    ensure!(found.contains("kubeconfig"), "{found:?}");
    ensure!(
        script.trim_end().ends_with("exec /home/runner/run.sh"),
        "{script}"
    );

    let text = read("runner/arc-rbac.yaml")?;
    let mut documents = text.split("---\n").map(serde_saphyr::from_str::<Value>);
    let service_account = documents.next().context("no account")??;
    let binding = documents.next().context("no binding")??;
    assert_eq!(service_account["kind"], "ServiceAccount");
    assert_eq!(service_account["metadata"]["name"], account);
    assert_eq!(binding["subjects"][0]["name"], account);
    assert_eq!(
        binding["subjects"][0]["namespace"],
        service_account["metadata"]["namespace"]
    );
    let rbac = read("rbac.yaml")?;
    let role = binding["roleRef"]["name"].as_str().context("no role")?;
    let namespace = binding["metadata"]["namespace"]
        .as_str()
        .context("no namespace")?;
    ensure!(
        rbac.contains(&format!("{{name: {role}, namespace: {namespace}}}")),
        "rbac.yaml has no {role}"
    );
    ensure!(script.contains(&format!("--namespace={namespace}")), "{script}");

    let dockerfile = read("runner/Dockerfile")?;
    let last_user = dockerfile.lines().rfind(|line| line.starts_with("USER "));
    assert_eq!(last_user, Some("USER runner"), "the runner runs as root");
    let at_build = dockerfile
        .lines()
        .find_map(|line| line.strip_prefix("RUN remote-buildkit runner"))
        .context("the Dockerfile does not install buildx")?;
    check_shell("Dockerfile", at_build)?;
    let at_build = flags("Dockerfile", at_build)?;
    ensure!(at_build.contains("install-only"), "{at_build:?}");
    Ok(())
}

/// Returns the documents of this kind in a YAML text.
fn objects(text: &str, kind: &str) -> Result<Vec<Value>> {
    let documents: Vec<Value> = text
        .split("---\n")
        .map(|document| serde_saphyr::from_str(document).context("invalid YAML"))
        .collect::<Result<_>>()?;
    Ok(documents.into_iter().filter(|d| d["kind"] == kind).collect())
}

/// `manifests --rbac` prints the Roles of the examples.
#[test]
fn roles_match_printed_roles() -> Result<()> {
    for (file, namespace) in [
        ("rbac.yaml", "buildkit"),
        ("rbac-release.yaml", "buildkit-release"),
    ] {
        let example = objects(&read(file)?, "Role")?;
        ensure!(example.len() == 2, "{file} has {} Roles", example.len());
        let printed = objects(&manifests::yaml(&manifests::rbac::roles(namespace)?)?, "Role")?;
        for (example, printed) in example.iter().zip(&printed) {
            assert_eq!(example["metadata"], printed["metadata"], "{file}");
            assert_eq!(example["rules"], printed["rules"], "{file}");
        }
        assert_eq!(example.len(), printed.len());
        let namespaces = objects(&read(file)?, "Namespace")?;
        assert_eq!(namespaces[0]["metadata"]["name"], namespace);
    }
    Ok(())
}

/// Jobs can use agents. Only administrators can deploy them.
#[test]
fn jobs_are_bound_to_the_role_use() -> Result<()> {
    let bindings = |file: &str| -> Result<Vec<(String, String)>> {
        let bindings = objects(&read(file)?, "RoleBinding")?;
        let name = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(bindings
            .iter()
            .map(|b| (name(&b["subjects"][0]["name"]), name(&b["roleRef"]["name"])))
            .collect())
    };
    for (file, expected) in [
        (
            "rbac.yaml",
            &[
                ("remote-buildkit", "remote-buildkit-use"),
                ("remote-buildkit-admins", "remote-buildkit-deploy"),
            ][..],
        ),
        (
            "rbac-release.yaml",
            &[
                ("remote-buildkit-release", "remote-buildkit-use"),
                ("remote-buildkit-admins", "remote-buildkit-deploy"),
            ],
        ),
        (
            "runner/arc-rbac.yaml",
            &[("remote-buildkit-runner", "remote-buildkit-use")],
        ),
    ] {
        let expected: Vec<_> = expected
            .iter()
            .map(|(subject, role)| ((*subject).to_owned(), (*role).to_owned()))
            .collect();
        assert_eq!(bindings(file)?, expected, "{file}");
    }
    Ok(())
}

/// The StorageClass fits agents: its volumes are created in the zone of the agent's node, and can grow.
#[test]
fn storage_class_fits_agents() -> Result<()> {
    let class = yaml("storage-class.yaml")?;
    assert_eq!(class["provisioner"], "ebs.csi.aws.com");
    assert_eq!(class["volumeBindingMode"], "WaitForFirstConsumer");
    assert_eq!(class["allowVolumeExpansion"], true);
    assert_eq!(class["parameters"]["encrypted"], "true");
    let setup = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/setup.md"))?;
    let name = class["metadata"]["name"].as_str().context("no name")?;
    ensure!(
        setup.contains(&format!("--storage-class {name}")),
        "setup.md does not use it"
    );
    Ok(())
}
