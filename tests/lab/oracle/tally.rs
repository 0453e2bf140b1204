//! Counts how often the matrix was right.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;

use anyhow::Result;

use super::plan::Planned;
use super::repository::RandomRepository;

/// The counts of one or more repositories.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) edits: usize,
    /// All targets, counted after each edit.
    targets: usize,
    /// The targets that BuildKit rebuilt.
    rebuilt: usize,
    /// The targets in the matrix.
    planned: usize,
    /// The targets in the matrix that came from the cache.
    pub(super) needless: usize,
    /// The targets in the matrix, and the needless builds, after a .dockerignore changed. Its previous content is not
    /// compared, so all of its targets are built.
    dockerignore: (usize, usize),
    /// The needless builds by kind of edit.
    needless_after: BTreeMap<String, usize>,
    /// The descriptions of rebuilt targets that are not in the matrix.
    pub(super) misses: Vec<String>,
    /// Rebuilt targets that a second build did not confirm.
    pub(super) unconfirmed: usize,
    /// The errors of BuildKit about generated repositories.
    pub(super) rejected: Vec<String>,
}

impl Tally {
    /// Counts the targets after an edit.
    pub(super) fn count(
        &mut self,
        repository: &RandomRepository,
        edit: &str,
        rebuilt: &BTreeMap<String, String>,
        planned: &Planned,
    ) -> Result<()> {
        self.edits += 1;
        self.targets += repository.targets.len();
        self.rebuilt += rebuilt.len();
        self.planned += planned.targets.len();
        for (target, ran) in rebuilt
            .iter()
            .filter(|(target, _)| !planned.targets.contains(*target))
        {
            self.misses
                .push(miss(repository, edit, target, ran, &planned.log)?);
        }
        let rebuilt_names: BTreeSet<&String> = rebuilt.keys().collect();
        let needless = planned
            .targets
            .iter()
            .filter(|target| !rebuilt_names.contains(target))
            .count();
        self.needless += needless;
        if edit.contains(".dockerignore") {
            self.dockerignore.0 += planned.targets.len();
            self.dockerignore.1 += needless;
        }
        if needless > 0 {
            *self.needless_after.entry(kind(edit)).or_default() += needless;
        }
        Ok(())
    }

    /// Adds an edit that BuildKit rejected.
    pub(super) fn add_rejected(&mut self, edit: &str, error: &str) {
        self.rejected.push(format!("{edit}: {error}"));
    }

    /// Adds the counts of another tally.
    pub(super) fn add(&mut self, other: Self) {
        self.edits += other.edits;
        self.targets += other.targets;
        self.rebuilt += other.rebuilt;
        self.planned += other.planned;
        self.needless += other.needless;
        self.dockerignore.0 += other.dockerignore.0;
        self.dockerignore.1 += other.dockerignore.1;
        for (kind, count) in other.needless_after {
            *self.needless_after.entry(kind).or_default() += count;
        }
        self.unconfirmed += other.unconfirmed;
        self.misses.extend(other.misses);
        self.rejected.extend(other.rejected);
    }

    /// Returns whether few builds are needless: otherwise the matrix would be no better than building everything.
    pub(super) fn is_selective(&self) -> bool {
        self.needless * 10 < self.planned
    }

    /// Prints to standard error directly, because the test runner captures the output of a passing test.
    pub(super) fn print(&self, rerun: &str) {
        let percent = |part: usize, total: usize| 100.0 * part as f64 / total.max(1) as f64;
        let line = format!(
            "oracle: {} edits of {} targets: {} rebuilt, {} in the matrix, {} of them needlessly ({:.1} %; {:.1} % \
             where no .dockerignore changed), {} missed; {} rebuilds not confirmed; {} edits rejected; needlessly \
             after {:?}; {rerun}\n",
            self.edits,
            self.targets,
            self.rebuilt,
            self.planned,
            self.needless,
            percent(self.needless, self.planned),
            percent(
                self.needless - self.dockerignore.1,
                self.planned - self.dockerignore.0,
            ),
            self.misses.len(),
            self.unconfirmed,
            self.rejected.len(),
            self.needless_after,
        );
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
}

/// Returns the kind of an edit, for some edits with the kind of file.
fn kind(edit: &str) -> String {
    let kind = match edit {
        several if several.contains(", ") => "several edits",
        _ if edit.ends_with(" becomes a link") => "become a link",
        _ if edit.ends_with(" becomes a directory") => "become a directory",
        _ if edit.ends_with(".dockerignore") => "change a .dockerignore",
        _ if edit.ends_with("Dockerfile") => "change a Dockerfile",
        _ => edit.split(' ').next().unwrap_or_default(),
    };
    kind.to_owned()
}

/// Describes a miss, with everything that is needed to analyze it.
fn miss(repository: &RandomRepository, edit: &str, name: &str, ran: &str, log: &str) -> Result<String> {
    let mut text = format!("{name} was rebuilt ({ran}) and is not in the matrix; {edit}\n");
    for target in repository.targets.iter().filter(|target| target.name == name) {
        let _ = writeln!(text, "{:#}", target.bake());
        if let Some(dockerfile) = target
            .dockerfile
            .as_ref()
            .and_then(|path| repository.dockerfiles.get(path))
        {
            text += &dockerfile.text();
        }
    }
    text += &repository.git(&["show", "--stat=200", "--format=", "--summary"])?;
    text += &repository.git(&["ls-files", "--stage"])?;
    text += &repository
        .git(&["grep", "", "--", "*.dockerignore"])
        .unwrap_or_default();
    text += log;
    Ok(text)
}
