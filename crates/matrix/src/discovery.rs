//! Targets of a repository without a bake or compose file: one for each Dockerfile, named for where it is.

use std::collections::BTreeSet;

use super::target::{Target, Targets};

/// What a Dockerfile is called when it goes by no other name.
const PLAIN: [&str; 2] = ["Dockerfile", "Containerfile"];

/// A target for each file. The context is its folder. `repository` is the name for the root's, as `acme/shop` or
/// `shop`; `workdir` is what contexts are relative to, from the root.
pub fn targets<'a>(
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
        let (folder, base) = file.rsplit_once('/').unwrap_or(("", file));
        let target = Target {
            context: relative(workdir, folder),
            dockerfile: base.to_owned(),
            ..Target::default()
        };
        let place = if folder.is_empty() { root } else { folder };
        let name = unique(&name(place, base), &targets.selected);
        targets.selected.insert(name.clone());
        targets.all.insert(name, target);
    }
    targets
}

/// In the characters that bake allows (`validTargetNameChars` in docker/buildx, bake/bake.go).
fn name(place: &str, base: &str) -> String {
    let variant = PLAIN.iter().find_map(|plain| {
        let rest = base.strip_prefix(plain);
        let rest = rest.and_then(|rest| rest.strip_prefix('.'));
        rest.or_else(|| base.strip_suffix(plain)?.strip_suffix('.'))
    });
    let variant = variant.or_else(|| (!PLAIN.contains(&base)).then_some(base));
    let name = [Some(place), variant].into_iter().flatten();
    let name = name.collect::<Vec<_>>().join("-");
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let name = name.replace('/', "-");
    name.chars().map(|c| if allowed(c) { c } else { '_' }).collect()
}

fn unique(name: &str, taken: &BTreeSet<String>) -> String {
    if !taken.contains(name) {
        return name.to_owned();
    }
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    let mut free = numbered.filter(|name| !taken.contains(name));
    free.next().unwrap_or_default()
}

/// The way from one folder to another, both from the root.
fn relative(from: &str, to: &str) -> String {
    let parts = |path: &str| -> Vec<String> {
        let parts = path.split('/').filter(|part| !part.is_empty());
        parts.map(str::to_owned).collect()
    };
    let (from, to) = (parts(from), parts(to));
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n("..", from.len() - common);
    let way: Vec<&str> = up.chain(to[common..].iter().map(String::as_str)).collect();
    if way.is_empty() { ".".into() } else { way.join("/") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(files: &[&str], repository: Option<&str>) -> Vec<(String, String, String)> {
        let targets = targets(files.iter().copied(), repository, "");
        let all = targets.all.into_iter();
        all.map(|(name, target)| (name, target.context, target.dockerfile))
            .collect()
    }

    #[test]
    fn names_say_where_the_dockerfile_is() {
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
    fn contexts_are_seen_from_the_working_folder() {
        let targets = targets(["a/b/Dockerfile", "a/Dockerfile", "Dockerfile"], None, "a");
        let contexts: Vec<&str> = targets.all.values().map(|t| t.context.as_str()).collect();
        assert_eq!(contexts, [".", "b", ".."]);
    }

    proptest! {
        #[test]
        fn every_dockerfile_has_a_legal_name_of_its_own(
            files in proptest::collection::btree_set("([a-b.é]{1,2}/){0,2}(Dockerfile|Dockerfile.2|2.Dockerfile)", 0..20)
        ) {
            let targets = targets(files.iter().map(String::as_str), None, "");
            prop_assert_eq!(targets.all.len(), files.len());
            for name in targets.all.keys() {
                let legal = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
                prop_assert!(!name.is_empty() && name.chars().all(legal), "{}", name);
            }
        }
    }
}
