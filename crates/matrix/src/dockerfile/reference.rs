//! Normalizes image names as BuildKit does to compare them with the names of contexts: `alpine` is
//! `docker.io/library/alpine:latest`
//! (distribution/reference, and `Client.NamedContext` in frontend/dockerui/config.go).

/// Returns the short form of an image name, without `:latest`. Other text is returned unchanged.
pub fn short_name(name: &str) -> &str {
    let name = name.strip_suffix(":latest").unwrap_or(name);
    let Some(rest) = ["docker.io/", "index.docker.io/"]
        .iter()
        .find_map(|hub| name.strip_prefix(hub))
    else {
        return name
            .strip_prefix("library/")
            .filter(|rest| !rest.contains('/'))
            .unwrap_or(name);
    };
    rest.strip_prefix("library/")
        .filter(|rest| !rest.contains('/'))
        .unwrap_or(rest)
}

/// Returns a context's name without its platform (`alpine::linux/arm64`), and whether it has one.
pub fn without_platform(name: &str) -> (&str, bool) {
    match name.split_once("::") {
        Some((name, _)) => (name, true),
        None => (name, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names() {
        for (name, expected) in [
            ("alpine", "alpine"),
            ("alpine:latest", "alpine"),
            ("docker.io/library/alpine:latest", "alpine"),
            ("index.docker.io/library/alpine", "alpine"),
            ("library/alpine:3", "alpine:3"),
            ("docker.io/acme/app", "acme/app"),
            ("docker.io/library/a/b", "library/a/b"),
            ("quay.io/library/alpine", "quay.io/library/alpine"),
            ("alpine@sha256:00", "alpine@sha256:00"),
        ] {
            assert_eq!(short_name(name), expected, "{name}");
        }
    }
}
