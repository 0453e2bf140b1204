//! The legs of the matrix.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::target::{Target, Targets};
use super::tree::clean;

/// GitHub's limit on the jobs that a matrix makes
/// (<https://docs.github.com/actions/reference/limits>).
pub const MOST: usize = 256;

/// What all outputs of a job may hold, in bytes of UTF-16
/// (<https://docs.github.com/actions/reference/workflows-and-actions/workflow-syntax#jobsjob_idoutputs>); half of it is
/// for the matrix, and the names of its targets come in another output.
const LARGEST: usize = 1024 * 1024 / 2;

/// One job to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leg {
    /// Several when there were too many legs.
    pub targets: Vec<String>,
    pub platforms: Vec<String>,
    pub cache_key: String,
    pub context: String,
    pub dockerfile: String,
    pub tags: Vec<String>,
}

/// The legs, and what had to be done to make them fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Legs {
    pub legs: Vec<Leg>,
    /// How many there would be, each target by itself.
    pub single: usize,
    /// Whether tags are left out for their size.
    pub without_tags: bool,
}

/// The legs of these targets. With a repository's name each key is its target's in there, as the keys of agents are for
/// all repositories that share them.
pub fn legs(targets: &Targets, built: &[&str], per_platform: bool, repository: Option<&str>) -> Legs {
    let targets = built
        .iter()
        .filter_map(|name| Some((*name, targets.all.get(*name)?)));
    let legs: Vec<Leg> = targets
        .flat_map(|(name, target)| {
            let key = match repository {
                Some(repository) => format!("{repository}/{name}"),
                None => name.to_owned(),
            };
            let platforms: Vec<Vec<String>> = if per_platform && target.platforms.len() > 1 {
                target.platforms.iter().map(|one| vec![one.clone()]).collect()
            } else {
                vec![target.platforms.clone()]
            };
            let leg = move |platforms| Leg {
                targets: vec![name.to_owned()],
                platforms,
                cache_key: key.clone(),
                context: target.context.clone(),
                dockerfile: dockerfile(target),
                tags: target.tags.clone(),
            };
            platforms.into_iter().map(leg).collect::<Vec<_>>()
        })
        .collect();
    let single = legs.len();
    let mut legs = Legs {
        legs: if single > MOST { grouped(legs, MOST) } else { legs },
        single,
        without_tags: false,
    };
    if utf16_bytes(&legs.matrix()) > LARGEST {
        legs.without_tags = true;
        for leg in &mut legs.legs {
            leg.tags.clear();
        }
    }
    legs
}

impl Legs {
    /// For `strategy.matrix`, in JSON.
    pub fn matrix(&self) -> String {
        let leg = |leg: &Leg| -> Value {
            json!({
                "target": leg.targets.join(","),
                "platforms": leg.platforms.join(","),
                "cache-key": leg.cache_key,
                "context": leg.context,
                "dockerfile": leg.dockerfile,
                "tags": leg.tags.join(","),
            })
        };
        json!({"include": self.legs.iter().map(leg).collect::<Vec<_>>()}).to_string()
    }

    /// Whether GitHub takes it.
    pub fn fits(&self) -> bool {
        utf16_bytes(&self.matrix()) <= LARGEST
    }

    /// What the user has to know about it, in sentences.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.single > self.legs.len() {
            notes.push(format!(
                "There are {} legs and GitHub takes {MOST}: each has several targets, separated by commas, as \
                 docker/bake-action takes them, and the cache key of the first.",
                self.single
            ));
        }
        if self.without_tags {
            notes.push("The tags are left out of the matrix: with them it is more than GitHub takes.".into());
        }
        notes
    }
}

/// For `file` of docker/build-push-action, which takes it from the working folder.
fn dockerfile(target: &Target) -> String {
    let Target {
        context,
        dockerfile,
        inline,
        ..
    } = target;
    if inline.is_some() {
        return String::new();
    }
    if let Some(path) = dockerfile.strip_prefix("cwd://") {
        return clean(path);
    }
    if dockerfile.starts_with('/') || context.contains("://") {
        return dockerfile.clone();
    }
    clean(&format!("{context}/{dockerfile}"))
}

/// As few targets in each leg as the limit allows. Those of a leg are for the same platforms, as long as there are not
/// too many kinds of them.
fn grouped(legs: Vec<Leg>, most: usize) -> Vec<Leg> {
    let mut kinds: BTreeMap<Vec<String>, Vec<Leg>> = BTreeMap::new();
    for leg in legs {
        kinds.entry(leg.platforms.clone()).or_default().push(leg);
    }
    if kinds.len() > most {
        let all = kinds.into_values().flatten().collect();
        kinds = BTreeMap::from([(Vec::new(), all)]);
    }
    let count = |size: usize| {
        kinds
            .values()
            .map(|kind| kind.len().div_ceil(size))
            .sum::<usize>()
    };
    let size = (1..).find(|size| count(*size) <= most).unwrap_or(usize::MAX);
    let groups = kinds.values().flat_map(|kind| kind.chunks(size));
    groups.filter_map(group).collect()
}

/// Contexts and Dockerfiles of several targets have no place in one leg.
fn group(legs: &[Leg]) -> Option<Leg> {
    let (first, others) = legs.split_first()?;
    let mut group = first.clone();
    for other in others {
        group.targets.extend(other.targets.iter().cloned());
        let new = other
            .platforms
            .iter()
            .filter(|one| !first.platforms.contains(one));
        group.platforms.extend(new.cloned());
        (group.context, group.dockerfile) = (String::new(), String::new());
        group.tags.clear();
    }
    // The kinds were too many to keep apart.
    let mut seen = std::collections::BTreeSet::new();
    group.platforms.retain(|platform| seen.insert(platform.clone()));
    Some(group)
}

/// As GitHub counts what outputs hold.
fn utf16_bytes(text: &str) -> usize {
    text.encode_utf16().count() * 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(all: &[(&str, &[&str])]) -> Targets {
        let target = |(name, platforms): &(&str, &[&str])| {
            let target = Target {
                context: format!("svc/{name}"),
                dockerfile: "../Dockerfile".into(),
                platforms: platforms.iter().map(|p| (*p).to_owned()).collect(),
                tags: vec![format!("r/{name}:1"), format!("r/{name}:2")],
                ..Target::default()
            };
            ((*name).to_owned(), target)
        };
        Targets {
            all: all.iter().map(target).collect(),
            selected: all.iter().map(|(name, _)| (*name).to_owned()).collect(),
        }
    }

    const BOTH: &[&str] = &["linux/amd64", "linux/arm64"];

    #[test]
    fn a_leg_has_what_a_build_needs() {
        let targets = targets(&[("api", BOTH), ("web", &[])]);
        let legs = legs(&targets, &["api"], false, Some("acme/shop"));
        assert_eq!(
            legs.matrix(),
            r#"{"include":[{"target":"api","platforms":"linux/amd64,linux/arm64","cache-key":"acme/shop/api","context":"svc/api","dockerfile":"svc/Dockerfile","tags":"r/api:1,r/api:2"}]}"#
        );
        assert!(legs.fits() && legs.notes().is_empty());
    }

    #[test]
    fn nothing_is_an_empty_list() {
        assert_eq!(legs(&targets(&[]), &[], true, None).matrix(), r#"{"include":[]}"#);
    }

    #[test]
    fn a_leg_for_each_platform_has_the_same_key() {
        let targets = targets(&[("api", BOTH), ("one", &["linux/arm64"]), ("web", &[])]);
        let legs = legs(&targets, &["api", "one", "web"], true, None).legs;
        let seen: Vec<(String, String)> = legs
            .iter()
            .map(|leg| (leg.cache_key.clone(), leg.platforms.join(",")))
            .collect();
        let leg = |key: &str, platforms: &str| (key.to_owned(), platforms.to_owned());
        assert_eq!(
            seen,
            [
                leg("api", "linux/amd64"),
                leg("api", "linux/arm64"),
                leg("one", "linux/arm64"),
                leg("web", ""),
            ]
        );
    }

    #[test]
    fn dockerfiles_are_seen_from_the_working_folder() {
        let dockerfile = |context: &str, file: &str, inline: Option<&str>| {
            dockerfile(&Target {
                context: context.into(),
                dockerfile: file.into(),
                inline: inline.map(Into::into),
                ..Target::default()
            })
        };
        assert_eq!(dockerfile(".", "Dockerfile", None), "Dockerfile");
        assert_eq!(dockerfile("a/b", "../x.Dockerfile", None), "a/x.Dockerfile");
        assert_eq!(dockerfile("../a", "Dockerfile", None), "../a/Dockerfile");
        assert_eq!(dockerfile("a", "/srv/Dockerfile", None), "/srv/Dockerfile");
        assert_eq!(dockerfile("a", "cwd://b/Dockerfile", None), "b/Dockerfile");
        assert_eq!(dockerfile("https://x/y.git", "Dockerfile", None), "Dockerfile");
        assert_eq!(dockerfile("a", "Dockerfile", Some("FROM scratch")), "");
    }

    #[test]
    fn too_many_legs_are_put_together_evenly_by_platform() {
        let names: Vec<String> = (0..1000).map(|number| format!("t{number:04}")).collect();
        let all: Vec<(&str, &[&str])> = names.iter().map(|name| (name.as_str(), BOTH)).collect();
        let targets = targets(&all);
        let built: Vec<&str> = names.iter().map(String::as_str).collect();
        let legs = legs(&targets, &built, true, None);
        assert_eq!(legs.single, 2000);
        assert!(
            legs.legs.len() <= MOST && legs.legs.len() > MOST / 2,
            "{}",
            legs.legs.len()
        );
        assert!(
            legs.legs
                .iter()
                .all(|leg| leg.platforms.len() == 1 && leg.context.is_empty())
        );
        let mut seen: Vec<(&str, &str)> = legs
            .legs
            .iter()
            .flat_map(|leg| {
                leg.targets
                    .iter()
                    .map(|target| (target.as_str(), leg.platforms[0].as_str()))
            })
            .collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 2000);
        assert!(legs.notes()[0].contains("2000 legs"), "{:?}", legs.notes());
        // The most that need no groups.
        let fit = super::legs(&targets, &built[..MOST], false, None);
        assert!(fit.notes().is_empty());
    }

    #[test]
    fn kinds_of_platforms_beyond_the_limit_are_mixed() {
        let platforms: Vec<String> = (0..600).map(|number| format!("linux/p{number}")).collect();
        let legs: Vec<Leg> = platforms
            .iter()
            .map(|platform| Leg {
                targets: vec![platform.clone()],
                platforms: vec![platform.clone()],
                cache_key: String::new(),
                context: String::new(),
                dockerfile: String::new(),
                tags: Vec::new(),
            })
            .collect();
        let groups = grouped(legs, MOST);
        assert!(groups.len() <= MOST);
        assert_eq!(
            groups.iter().map(|group| group.platforms.len()).sum::<usize>(),
            600
        );
    }

    #[test]
    fn tags_give_way_when_the_matrix_is_too_large() {
        let mut targets = targets(&[("api", &[])]);
        for target in targets.all.values_mut() {
            target.tags = vec!["r/x:1".repeat(20); 6000];
        }
        let legs = legs(&targets, &["api"], false, None);
        assert!(legs.without_tags && legs.fits());
        assert!(legs.matrix().contains(r#""tags":"""#));
        assert!(legs.notes()[0].contains("tags"), "{:?}", legs.notes());
    }
}
