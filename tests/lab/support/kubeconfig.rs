//! Kubeconfigs for servers of a test.

/// Returns a kubeconfig for a server with this user.
pub(crate) fn kubeconfig(server: &str, user: &str) -> String {
    format!(
        "apiVersion: v1
kind: Config
current-context: one
clusters: [{{name: one, cluster: {{server: \"{server}\"}}}}]
users: [{{name: one, user: {user}}}]
contexts: [{{name: one, context: {{cluster: one, user: one}}}}]
"
    )
}
