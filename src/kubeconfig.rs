//! The kubeconfig of this job: a file with one cluster, one user and one context. It is written as JSON, which is
//! valid YAML for kubectl, buildx and kube.

use std::path::Path;

use anyhow::Context as _;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube::config::{
    AuthInfo, Cluster, Context, ExecConfig, ExecInteractiveMode, Kubeconfig, KubeconfigError, NamedAuthInfo,
    NamedCluster, NamedContext,
};

use crate::error_code::ErrorCode;
use crate::problem::{Problem, chain};
use crate::{env, files};

/// The name of the cluster, the user and the context.
const NAME: &str = "remote-buildkit";
/// The directory in which a pod has its service account's token and the cluster's CA.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Returns a kubeconfig whose credential plugin is `program token --session …`.
pub fn with_plugin(server: &str, certificate_authority: &str, program: &Path, session: &Path) -> Kubeconfig {
    let cluster = Cluster {
        server: Some(server.to_owned()),
        certificate_authority_data: Some(certificate_authority.to_owned()),
        ..Cluster::default()
    };
    let user = AuthInfo {
        exec: Some(ExecConfig {
            api_version: Some("client.authentication.k8s.io/v1".into()),
            command: Some(program.to_string_lossy().into_owned()),
            args: Some(vec![
                "token".into(),
                "--session".into(),
                session.to_string_lossy().into_owned(),
            ]),
            env: None,
            drop_env: None,
            install_hint: None,
            // client.authentication.k8s.io/v1 requires this field.
            interactive_mode: Some(ExecInteractiveMode::Never),
            provide_cluster_info: false,
            cluster: None,
            other: Default::default(),
        }),
        ..AuthInfo::default()
    };
    assemble(cluster, user, None)
}

/// Adds PEM certificates to the base64 CA data of a kubeconfig.
pub fn with_authorities(certificate_authority: &str, additional: &str) -> anyhow::Result<String> {
    if additional.is_empty() {
        return Ok(certificate_authority.to_owned());
    }
    let mut pem = STANDARD
        .decode(certificate_authority)
        .context("reading the CA of the cluster")?;
    if !pem.ends_with(b"\n") {
        pem.push(b'\n');
    }
    pem.extend(additional.as_bytes());
    Ok(STANDARD.encode(pem))
}

/// Returns a kubeconfig for the service account of this pod. The kubelet renews the token file.
pub fn in_cluster() -> Result<Kubeconfig, Problem> {
    let host = env::get(env::KUBERNETES_SERVICE_HOST);
    let port = env::get(env::KUBERNETES_SERVICE_PORT);
    let token = format!("{SERVICE_ACCOUNT}/token");
    let (Some(host), Some(port), true) = (host, port, Path::new(&token).exists()) else {
        return Err(Problem::new(
            ErrorCode::NotInPod,
            format!(
                "`kubeconfig: in-cluster` needs KUBERNETES_SERVICE_HOST, KUBERNETES_SERVICE_PORT and {token}; at least \
                 one is missing."
            ),
            "Run in a pod that mounts its service account token, or set `kubeconfig` to a path.",
        ));
    };
    // An IPv6 address needs brackets in a URL.
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host
    };
    let cluster = Cluster {
        server: Some(format!("https://{host}:{port}")),
        certificate_authority: Some(format!("{SERVICE_ACCOUNT}/ca.crt")),
        ..Cluster::default()
    };
    let user = AuthInfo {
        token_file: Some(token),
        ..AuthInfo::default()
    };
    Ok(assemble(cluster, user, None))
}

/// Returns one context of the user's kubeconfig.
pub fn excerpt(path: &Path, context: Option<&str>) -> Result<Kubeconfig, Problem> {
    excerpt_of(Kubeconfig::read_from(path), path, context)
}

/// Returns one context of a kubeconfig that was read from `path`.
pub fn excerpt_of(
    config: Result<Kubeconfig, KubeconfigError>,
    path: &Path,
    context: Option<&str>,
) -> Result<Kubeconfig, Problem> {
    let unusable = |why: String, remedy: &str| {
        Problem::new(
            ErrorCode::InvalidKubeconfig,
            format!("Cannot use the kubeconfig {}: {why}.", path.display()),
            remedy,
        )
    };
    let config = config.map_err(|e| {
        let remedy = match &e {
            KubeconfigError::Parse(_) => "Correct the file, or set the input `kubeconfig` to another one.",
            _ => "Check the input `kubeconfig`. A relative path starts at the step's working directory.",
        };
        unusable(explained(&e), remedy)
    })?;
    let Some(context_name) = context.map(str::to_owned).or(config.current_context.clone()) else {
        return Err(unusable(
            "it has no current context".into(),
            "Set the input `context`.",
        ));
    };
    let names = || {
        let names: Vec<&str> = config.contexts.iter().map(|c| c.name.as_str()).collect();
        names.join(", ")
    };
    let selected = config.contexts.iter().find(|c| c.name == context_name);
    let Some(selected) = selected.and_then(|c| c.context.clone()) else {
        return Err(unusable(
            format!("it has no context {context_name}; its contexts are: {}", names()),
            "Set the input `context` to one of them.",
        ));
    };
    let cluster = config.clusters.iter().find(|c| c.name == selected.cluster);
    let user_name = selected.user.clone().unwrap_or_default();
    let user = config.auth_infos.iter().find(|u| u.name == user_name);
    match (
        cluster.and_then(|c| c.cluster.clone()),
        user.and_then(|u| u.auth_info.clone()),
    ) {
        (Some(cluster), Some(user)) => Ok(assemble(cluster, user, selected.namespace)),
        _ => Err(unusable(
            format!("its context {context_name} names a cluster or user that does not exist"),
            "Correct the kubeconfig: kubectl config get-contexts shows the cluster and user of each context.",
        )),
    }
}

/// Returns why a kubeconfig cannot be read. The lines around a syntax error are left out: they may hold a credential.
fn explained(error: &KubeconfigError) -> String {
    match error {
        KubeconfigError::Parse(error) => format!("it is not a valid kubeconfig: {}", error.without_snippet()),
        other => chain(other),
    }
}

/// Returns a kubeconfig with one context, which is the current one.
fn assemble(cluster: Cluster, user: AuthInfo, namespace: Option<String>) -> Kubeconfig {
    Kubeconfig {
        clusters: vec![NamedCluster {
            name: NAME.into(),
            cluster: Some(cluster),
            ..NamedCluster::default()
        }],
        auth_infos: vec![NamedAuthInfo {
            name: NAME.into(),
            auth_info: Some(user),
            ..NamedAuthInfo::default()
        }],
        contexts: vec![NamedContext {
            name: NAME.into(),
            context: Some(Context {
                cluster: NAME.into(),
                user: Some(NAME.into()),
                namespace,
                ..Context::default()
            }),
            ..NamedContext::default()
        }],
        current_context: Some(NAME.into()),
        kind: Some("Config".into()),
        api_version: Some("v1".into()),
        ..Kubeconfig::default()
    }
}

/// Writes a kubeconfig to a file with mode 0600.
pub fn write(kubeconfig: &Kubeconfig, path: &Path) -> anyhow::Result<()> {
    files::write_private(path, text(kubeconfig)?.as_bytes())
}

/// Returns a kubeconfig as JSON that is also valid YAML. Some characters that JSON allows in a string are invalid or
/// line breaks in YAML, so they are escaped.
pub fn text(kubeconfig: &Kubeconfig) -> anyhow::Result<String> {
    let json = serde_json::to_string_pretty(kubeconfig).context("kubeconfig to JSON")?;
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                text.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => text.push(c),
        }
    }
    Ok(text)
}

/// Reads a kubeconfig that [`write()`] wrote.
pub fn read(path: &Path) -> anyhow::Result<Kubeconfig> {
    Kubeconfig::read_from(path)
        .map_err(|error| anyhow::anyhow!("reading {}: {}", path.display(), explained(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubeconfig_with_the_plugin() {
        let config = with_plugin(
            "https://ABC.gr7.eu-west-1.eks.amazonaws.com",
            "Q0E=",
            Path::new("/dist/remote-buildkit"),
            Path::new("/tmp/session.json"),
        );
        insta::assert_json_snapshot!(config);
    }

    #[test]
    fn a_syntax_error_does_not_show_the_lines_around_it() {
        let text =
            "users:\n- name: u\n  user: {token: hush}\nclusters:\n- cluster: {server: https://10.0.0.1}\n";
        let error = excerpt_of(Kubeconfig::from_yaml(text), Path::new("/k"), None).expect_err("no name");
        assert_eq!(
            error.what,
            "Cannot use the kubeconfig /k: it is not a valid kubeconfig: missing field `name` at line 5, column 3."
        );
        assert!(error.remedy.starts_with("Correct the file"), "{}", error.remedy);
    }

    #[test]
    fn authorities_stay_certificates_of_their_own() {
        for (ca, both) in [("CA", "CA\nmore"), ("CA\n", "CA\nmore")] {
            let joined = with_authorities(&STANDARD.encode(ca), "more").expect("joined");
            assert_eq!(STANDARD.decode(joined).expect("base64"), both.as_bytes());
        }
        assert_eq!(with_authorities("Q0E=", "").expect("as it was"), "Q0E=");
    }

    #[test]
    fn what_is_written_is_yaml() {
        let name = "a\u{7f}\u{85}\u{9f}\u{2028}\u{feff}\u{ffff}\u{1}é🦀";
        let config = with_plugin(name, name, Path::new("/p"), Path::new("/s"));
        let read = Kubeconfig::from_yaml(&text(&config).expect("JSON")).expect("YAML");
        let server = read.clusters[0]
            .cluster
            .as_ref()
            .expect("cluster")
            .server
            .as_deref();
        assert_eq!(server, Some(name));
    }

    #[test]
    fn an_excerpt_holds_one_context_and_names_what_is_missing() {
        let dir = files::private_dir(
            &std::env::temp_dir(),
            &format!("rbk-kubeconfig-{}", files::random_hex().expect("random")),
        )
        .expect("directory");
        let path = dir.join("config");
        let text = r#"
apiVersion: v1
kind: Config
current-context: one
clusters: [{name: c, cluster: {server: "https://127.0.0.1:6443", certificate-authority: ca.crt}}]
users: [{name: u, user: {token: t}}, {name: other, user: {token: o}}]
contexts:
- {name: one, context: {cluster: c, user: u, namespace: team}}
- {name: broken, context: {cluster: gone, user: u}}
"#;
        std::fs::write(&path, text).expect("write");
        let config = excerpt(&path, None).expect("one");
        assert_eq!(config.auth_infos.len(), 1);
        let cluster = config.clusters[0].cluster.as_ref().expect("cluster");
        assert_eq!(
            cluster.certificate_authority,
            Some(dir.join("ca.crt").to_string_lossy().into_owned())
        );
        assert!(
            excerpt(&path, Some("two"))
                .expect_err("no such")
                .what
                .contains("its contexts are: one, broken")
        );
        assert!(
            excerpt(&path, Some("broken"))
                .expect_err("dangling")
                .what
                .contains("does not exist")
        );
        assert!(
            excerpt(&dir.join("none"), None)
                .expect_err("no file")
                .what
                .contains("none")
        );
        std::fs::remove_dir_all(dir).expect("clean");
    }
}
