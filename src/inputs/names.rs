//! Checks names by the rules of AWS and Kubernetes.

/// Returns whether Kubernetes accepts the text as a label of RFC 1123, such as the name of a namespace.
pub(super) fn is_dns_label(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=63).contains(&text.len())
        && text.chars().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Returns whether Kubernetes accepts the text as the name of most objects: a subdomain of RFC 1123.
pub(super) fn is_dns_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_dns_label)
}

/// Returns whether Kubernetes accepts the text as the key of a label or an annotation: a name with an optional
/// domain.
pub(super) fn is_qualified_name(text: &str) -> bool {
    let (domain, name) = match text.split_once('/') {
        Some((domain, name)) => (Some(domain), name),
        None => (None, text),
    };
    domain.is_none_or(is_dns_subdomain) && !name.is_empty() && is_label_value(name)
}

/// Returns whether Kubernetes accepts the text as the value of a label.
pub(super) fn is_label_value(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let ends = |c: char| c.is_ascii_alphanumeric();
    text.len() <= 63
        && text.chars().all(inner)
        && (text.is_empty() || text.starts_with(ends) && text.ends_with(ends))
}

/// Returns whether EKS accepts the text as the name of a cluster, by the pattern in the API reference of
/// CreateCluster.
pub(super) fn is_cluster_name(text: &str) -> bool {
    (1..=100).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

/// Returns whether the text is the ARN of an IAM role.
pub(super) fn is_role_arn(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let [arn, partition, iam, region, account, resource] = parts[..] else {
        return false;
    };
    arn == "arn"
        && partition.starts_with("aws")
        && iam == "iam"
        && region.is_empty()
        && account.len() == 12
        && account.chars().all(|c| c.is_ascii_digit())
        && resource.strip_prefix("role/").is_some_and(|name| {
            !name.is_empty()
                && name
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "+=,.@-_/".contains(c))
        })
}
