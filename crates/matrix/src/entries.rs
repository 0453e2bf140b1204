//! The entries of the job matrix (`strategy.matrix.include`), within GitHub's limits.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::target::{Target, Targets};
use super::tree::clean;

/// GitHub's limit on the jobs of one matrix (<https://docs.github.com/actions/reference/limits>).
const MAX_ENTRIES: usize = 256;

/// GitHub's limit on all outputs of a job, in bytes of UTF-16
/// (<https://docs.github.com/actions/reference/workflows-and-actions/workflow-syntax#jobsjob_idoutputs>).
pub const MAX_OUTPUT_BYTES: usize = 1024 * 1024;

/// The limit of the matrix: half of all outputs, because the names of the targets are in another output.
pub const MAX_MATRIX_BYTES: usize = MAX_OUTPUT_BYTES / 2;

/// One entry of the matrix: one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatrixEntry {
    /// One target, or several if there are more targets than GitHub allows entries.
    pub targets: Vec<String>,
    pub platforms: Vec<String>,
    pub cache_key: String,
    pub context: String,
    pub dockerfile: String,
    pub tags: Vec<String>,
}

/// The entries, and what was changed so that they fit GitHub's limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatrixEntries {
    pub entries: Vec<MatrixEntry>,
    /// The number of entries before grouping: one for each target, or for each of its platforms.
    pub ungrouped: usize,
    /// Whether the tags are left out because of their size.
    pub without_tags: bool,
}

/// Returns the matrix entries of the targets to build. Cache keys begin with the repository's name if there is one,
/// because agents may be shared by several repositories.
pub fn matrix_entries(
    targets: &Targets,
    to_build: &[&str],
    per_platform: bool,
    repository: Option<&str>,
) -> MatrixEntries {
    let targets = to_build
        .iter()
        .filter_map(|name| Some((*name, targets.all.get(*name)?)));
    let entries: Vec<MatrixEntry> = targets
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
            let entry = move |platforms| MatrixEntry {
                targets: vec![name.to_owned()],
                platforms,
                cache_key: key.clone(),
                context: target.context.clone(),
                dockerfile: dockerfile_path(target),
                tags: target.tags.clone(),
            };
            platforms.into_iter().map(entry).collect::<Vec<_>>()
        })
        .collect();
    let ungrouped = entries.len();
    let mut entries = MatrixEntries {
        entries: if ungrouped > MAX_ENTRIES {
            group_entries(entries, MAX_ENTRIES)
        } else {
            entries
        },
        ungrouped,
        without_tags: false,
    };
    if utf16_bytes(&entries.to_json()) > MAX_MATRIX_BYTES {
        entries.without_tags = true;
        for entry in &mut entries.entries {
            entry.tags.clear();
        }
    }
    entries
}

impl MatrixEntries {
    /// Returns the value of `strategy.matrix` as JSON.
    pub fn to_json(&self) -> String {
        let entry = |entry: &MatrixEntry| -> Value {
            json!({
                "target": entry.targets.join(","),
                "platforms": entry.platforms.join(","),
                "cache-key": entry.cache_key,
                "context": entry.context,
                "dockerfile": entry.dockerfile,
                "tags": entry.tags.join(","),
            })
        };
        json!({"include": self.entries.iter().map(entry).collect::<Vec<_>>()}).to_string()
    }

    /// Returns whether GitHub accepts the matrix as an output.
    pub fn fits(&self) -> bool {
        self.bytes() <= MAX_MATRIX_BYTES
    }

    /// Returns the size as GitHub counts it for outputs.
    pub fn bytes(&self) -> usize {
        utf16_bytes(&self.to_json())
    }

    /// Returns sentences about what was changed so that the matrix fits.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.ungrouped > self.entries.len() {
            notes.push(format!(
                "The matrix would have {} entries, and GitHub allows {MAX_ENTRIES}. Each entry has several targets, \
                 separated by commas, which docker/bake-action accepts, and the cache key of the first one.",
                self.ungrouped
            ));
        }
        if self.without_tags {
            notes.push("The matrix has no tags, because with them it exceeds GitHub's size limit.".into());
        }
        notes
    }
}

/// Returns the Dockerfile's path for the input `file` of docker/build-push-action, which is relative to the working
/// directory.
fn dockerfile_path(target: &Target) -> String {
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

/// Groups entries so that at most `max` remain, with as few targets in each as possible. The targets of a group have the
/// same platforms, unless there are more combinations of platforms than groups.
fn group_entries(entries: Vec<MatrixEntry>, max: usize) -> Vec<MatrixEntry> {
    let mut by_platforms: BTreeMap<Vec<String>, Vec<MatrixEntry>> = BTreeMap::new();
    for entry in entries {
        by_platforms
            .entry(entry.platforms.clone())
            .or_default()
            .push(entry);
    }
    if by_platforms.len() > max {
        let all = by_platforms.into_values().flatten().collect();
        by_platforms = BTreeMap::from([(Vec::new(), all)]);
    }
    let count = |size: usize| {
        by_platforms
            .values()
            .map(|same| same.len().div_ceil(size))
            .sum::<usize>()
    };
    let size = (1..).find(|size| count(*size) <= max).unwrap_or(usize::MAX);
    let groups = by_platforms.values().flat_map(|same| same.chunks(size));
    groups.filter_map(merge_entries).collect()
}

/// Merges entries into one. Contexts and Dockerfiles are left out, because one entry cannot have several.
fn merge_entries(entries: &[MatrixEntry]) -> Option<MatrixEntry> {
    let (first, others) = entries.split_first()?;
    let mut merged = first.clone();
    for other in others {
        merged.targets.extend(other.targets.iter().cloned());
        let new = other
            .platforms
            .iter()
            .filter(|one| !first.platforms.contains(one));
        merged.platforms.extend(new.cloned());
        (merged.context, merged.dockerfile) = (String::new(), String::new());
        merged.tags.clear();
    }
    // Two of the others may have the same platform.
    let mut seen = BTreeSet::new();
    merged.platforms.retain(|platform| seen.insert(platform.clone()));
    Some(merged)
}

/// Returns the size as GitHub counts it for outputs.
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
    fn an_entry_has_the_fields_that_a_build_needs() {
        let targets = targets(&[("api", BOTH), ("web", &[])]);
        let entries = matrix_entries(&targets, &["api"], false, Some("acme/shop"));
        assert_eq!(
            entries.to_json(),
            r#"{"include":[{"target":"api","platforms":"linux/amd64,linux/arm64","cache-key":"acme/shop/api","context":"svc/api","dockerfile":"svc/Dockerfile","tags":"r/api:1,r/api:2"}]}"#
        );
        assert!(entries.fits() && entries.notes().is_empty());
    }

    #[test]
    fn no_targets_make_an_empty_list() {
        assert_eq!(
            matrix_entries(&targets(&[]), &[], true, None).to_json(),
            r#"{"include":[]}"#
        );
    }

    #[test]
    fn entries_of_one_target_per_platform_share_its_cache_key() {
        let targets = targets(&[("api", BOTH), ("one", &["linux/arm64"]), ("web", &[])]);
        let entries = matrix_entries(&targets, &["api", "one", "web"], true, None).entries;
        let seen: Vec<(String, String)> = entries
            .iter()
            .map(|entry| (entry.cache_key.clone(), entry.platforms.join(",")))
            .collect();
        let entry = |key: &str, platforms: &str| (key.to_owned(), platforms.to_owned());
        assert_eq!(
            seen,
            [
                entry("api", "linux/amd64"),
                entry("api", "linux/arm64"),
                entry("one", "linux/arm64"),
                entry("web", ""),
            ]
        );
    }

    #[test]
    fn dockerfile_paths_are_relative_to_the_working_directory() {
        let dockerfile = |context: &str, file: &str, inline: Option<&str>| {
            dockerfile_path(&Target {
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
    fn too_many_entries_are_grouped_evenly_by_platform() {
        let names: Vec<String> = (0..1000).map(|number| format!("t{number:04}")).collect();
        let all: Vec<(&str, &[&str])> = names.iter().map(|name| (name.as_str(), BOTH)).collect();
        let targets = targets(&all);
        let built: Vec<&str> = names.iter().map(String::as_str).collect();
        let entries = matrix_entries(&targets, &built, true, None);
        assert_eq!(entries.ungrouped, 2000);
        assert!(
            entries.entries.len() <= MAX_ENTRIES && entries.entries.len() > MAX_ENTRIES / 2,
            "{}",
            entries.entries.len()
        );
        assert!(
            entries
                .entries
                .iter()
                .all(|entry| entry.platforms.len() == 1 && entry.context.is_empty())
        );
        let mut seen: Vec<(&str, &str)> = entries
            .entries
            .iter()
            .flat_map(|entry| {
                entry
                    .targets
                    .iter()
                    .map(|target| (target.as_str(), entry.platforms[0].as_str()))
            })
            .collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 2000);
        assert!(
            entries.notes()[0].contains("2000 entries"),
            "{:?}",
            entries.notes()
        );
        // Exactly the limit needs no groups.
        let fit = super::matrix_entries(&targets, &built[..MAX_ENTRIES], false, None);
        assert!(fit.notes().is_empty());
    }

    #[test]
    fn more_platform_combinations_than_the_limit_are_mixed() {
        let platforms: Vec<String> = (0..600).map(|number| format!("linux/p{number}")).collect();
        let entries: Vec<MatrixEntry> = platforms
            .iter()
            .map(|platform| MatrixEntry {
                targets: vec![platform.clone()],
                platforms: vec![platform.clone()],
                cache_key: String::new(),
                context: String::new(),
                dockerfile: String::new(),
                tags: Vec::new(),
            })
            .collect();
        let groups = group_entries(entries, MAX_ENTRIES);
        assert!(groups.len() <= MAX_ENTRIES);
        assert_eq!(
            groups.iter().map(|group| group.platforms.len()).sum::<usize>(),
            600
        );
    }

    #[test]
    fn tags_are_left_out_when_the_matrix_is_too_large() {
        let mut targets = targets(&[("api", &[])]);
        for target in targets.all.values_mut() {
            target.tags = vec!["r/x:1".repeat(20); 6000];
        }
        let entries = matrix_entries(&targets, &["api"], false, None);
        assert!(entries.without_tags && entries.fits());
        assert!(entries.to_json().contains(r#""tags":"""#));
        assert!(entries.notes()[0].contains("tags"), "{:?}", entries.notes());
    }
}
