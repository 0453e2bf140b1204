//! The placeholders of remedies.

/// Returns a remedy with its placeholders filled in: `{delete}` is the command that deletes the agent of this namespace
/// and name.
pub fn render(remedy: &str, namespace: &str, name: &str) -> String {
    remedy
        .replace("{delete}", "kubectl -n {namespace} delete deployment,pvc {name}")
        .replace("{namespace}", namespace)
        .replace("{name}", name)
}
