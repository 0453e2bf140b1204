//! Makes targets from the Dockerfiles of a repository without a bake or compose file: one for each, named after its
//! directory.

use std::collections::BTreeSet;

use super::target::{Target, Targets};

/// The default names of a Dockerfile.
const DEFAULT_NAMES: [&str; 2] = ["Dockerfile", "Containerfile"];

/// Returns a target for each Dockerfile, with its directory as context. The target of the Dockerfile in the root is named
/// after `repository` (`acme/shop` or `shop`). Contexts are relative to `workdir`, which is relative to the root.
pub fn targets_of_dockerfiles<'a>(
    dockerfiles: impl IntoIterator<Item = &'a str>,
    repository: Option<&str>,
    workdir: &str,
) -> Targets {
    let mut files: Vec<&str> = dockerfiles.into_iter().collect();
    files.sort_unstable();
    let root = repository.and_then(|name| name.rsplit('/').next());
    let root = root.filter(|name| !name.is_empty()).unwrap_or("image");
    let mut targets = Targets::default();
    for file in files {
        let (dir, base) = file.rsplit_once('/').unwrap_or(("", file));
        let target = Target {
            context: relative(workdir, dir),
            dockerfile: base.to_owned(),
            ..Target::default()
        };
        let location = if dir.is_empty() { root } else { dir };
        let name = unique_name(&target_name(location, base), &targets.selected);
        targets.selected.insert(name.clone());
        targets.all.insert(name, target);
    }
    targets
}

/// Returns a target's name, in the characters that bake allows (`validTargetNameChars` in docker/buildx, bake/bake.go).
fn target_name(location: &str, base: &str) -> String {
    let variant = DEFAULT_NAMES.iter().find_map(|default| {
        let rest = base.strip_prefix(default);
        let rest = rest.and_then(|rest| rest.strip_prefix('.'));
        rest.or_else(|| base.strip_suffix(default)?.strip_suffix('.'))
    });
    let variant = variant.or_else(|| (!DEFAULT_NAMES.contains(&base)).then_some(base));
    let name = [Some(location), variant].into_iter().flatten();
    let name = name.collect::<Vec<_>>().join("-");
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let name = name.replace('/', "-");
    name.chars().map(|c| if allowed(c) { c } else { '_' }).collect()
}

fn unique_name(name: &str, taken: &BTreeSet<String>) -> String {
    if !taken.contains(name) {
        return name.to_owned();
    }
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    let mut free = numbered.filter(|name| !taken.contains(name));
    free.next().unwrap_or_default()
}

/// Returns the path from one directory to another, both given from the root.
fn relative(from: &str, to: &str) -> String {
    let parts = |path: &str| -> Vec<String> {
        let parts = path.split('/').filter(|part| !part.is_empty());
        parts.map(str::to_owned).collect()
    };
    let (from, to) = (parts(from), parts(to));
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n("..", from.len() - common);
    let path: Vec<&str> = up.chain(to[common..].iter().map(String::as_str)).collect();
    if path.is_empty() {
        ".".into()
    } else {
        path.join("/")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(files: &[&str], repository: Option<&str>) -> Vec<(String, String, String)> {
        let targets = targets_of_dockerfiles(files.iter().copied(), repository, "");
        let all = targets.all.into_iter();
        all.map(|(name, target)| (name, target.context, target.dockerfile))
            .collect()
    }

    #[test]
    fn targets_are_named_after_the_directory_and_suffix_of_the_dockerfile() {
        let named =
            |name: &str, context: &str, file: &str| (name.to_owned(), context.to_owned(), file.to_owned());
        assert_eq!(
            names(
                &[
                    "services/api/Dockerfile",
                    "Dockerfile",
                    "Dockerfile.debug",
                    "services/api/worker.Dockerfile",
                    "web.site/Containerfile",
                    "web.site/build.me",
                ],
                Some("acme/shop"),
            ),
            [
                named("services-api", "services/api", "Dockerfile"),
                named("services-api-worker", "services/api", "worker.Dockerfile"),
                named("shop", ".", "Dockerfile"),
                named("shop-debug", ".", "Dockerfile.debug"),
                named("web_site", "web.site", "Containerfile"),
                named("web_site-build_me", "web.site", "build.me"),
            ]
        );
        assert_eq!(names(&["Dockerfile"], None)[0].0, "image");
    }

    #[test]
    fn contexts_are_relative_to_the_working_directory() {
        let targets = targets_of_dockerfiles(["a/b/Dockerfile", "a/Dockerfile", "Dockerfile"], None, "a");
        let contexts: Vec<&str> = targets.all.values().map(|t| t.context.as_str()).collect();
        assert_eq!(contexts, [".", "b", ".."]);
    }

    proptest! {
        #[test]
        fn every_dockerfile_has_a_unique_valid_name(
            files in proptest::collection::btree_set("([a-b.é]{1,2}/){0,2}(Dockerfile|Dockerfile.2|2.Dockerfile)", 0..20)
        ) {
            let targets = targets_of_dockerfiles(files.iter().map(String::as_str), None, "");
            prop_assert_eq!(targets.all.len(), files.len());
            for name in targets.all.keys() {
                let valid = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
                prop_assert!(!name.is_empty() && name.chars().all(valid), "{}", name);
            }
        }
    }
}
