//! Counts how often the matrix was right.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;

use anyhow::Result;

use super::plan::Planned;
use super::repository::Repository;

#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) edits: usize,
    /// All targets, counted after each edit.
    targets: usize,
    /// The targets that BuildKit rebuilt.
    rebuilt: usize,
    planned: usize,
    pub(super) needless: usize,
    /// The targets in the matrix, and the needless builds, after a .dockerignore changed. Its previous content is not
    /// compared, so all of its targets are built.
    ignores: (usize, usize),
    /// The needless builds by kind of edit.
    why: BTreeMap<String, usize>,
    pub(super) misses: Vec<String>,
    /// Rebuilt targets that a second build did not confirm.
    pub(super) unconfirmed: usize,
    /// The errors of BuildKit about generated repositories.
    pub(super) refused: Vec<String>,
}

impl Tally {
    pub(super) fn count(
        &mut self,
        repository: &Repository,
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
            self.ignores.0 += planned.targets.len();
            self.ignores.1 += needless;
        }
        if needless > 0 {
            *self.why.entry(kind(edit)).or_default() += needless;
        }
        Ok(())
    }

    pub(super) fn refuse(&mut self, edit: &str, said: &str) {
        self.refused.push(format!("{edit}: {said}"));
    }

    pub(super) fn add(&mut self, other: Self) {
        self.edits += other.edits;
        self.targets += other.targets;
        self.rebuilt += other.rebuilt;
        self.planned += other.planned;
        self.needless += other.needless;
        self.ignores.0 += other.ignores.0;
        self.ignores.1 += other.ignores.1;
        for (kind, count) in other.why {
            *self.why.entry(kind).or_default() += count;
        }
        self.unconfirmed += other.unconfirmed;
        self.misses.extend(other.misses);
        self.refused.extend(other.refused);
    }

    /// Returns whether few builds are needless: otherwise the matrix would be no better than building everything.
    pub(super) fn is_selective(&self) -> bool {
        self.needless * 10 < self.planned
    }

    /// Prints to standard error directly, because the test runner captures the output of a passing test.
    pub(super) fn print(&self, again: &str) {
        let percent = |part: usize, of: usize| 100.0 * part as f64 / of.max(1) as f64;
        let line = format!(
            "oracle: {} edits of {} targets: {} rebuilt, {} in the matrix, {} of them needlessly ({:.1} %; {:.1} % \
             where no .dockerignore changed), {} missed; {} rebuilds not confirmed; {} edits rejected; needlessly \
             after {:?}; {again}\n",
            self.edits,
            self.targets,
            self.rebuilt,
            self.planned,
            self.needless,
            percent(self.needless, self.planned),
            percent(self.needless - self.ignores.1, self.planned - self.ignores.0),
            self.misses.len(),
            self.unconfirmed,
            self.refused.len(),
            self.why,
        );
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
}

/// Returns the kind of edit, and the kind of file.
fn kind(edit: &str) -> String {
    let what = match edit {
        several if several.contains(", ") => "several edits",
        _ if edit.ends_with(" becomes a link") => "become a link",
        _ if edit.ends_with(" becomes a folder") => "become a folder",
        _ if edit.ends_with(".dockerignore") => "change a .dockerignore",
        _ if edit.ends_with("Dockerfile") => "change a Dockerfile",
        _ => edit.split(' ').next().unwrap_or_default(),
    };
    what.to_owned()
}

/// Returns everything that is needed to analyse a miss.
fn miss(repository: &Repository, edit: &str, target: &str, ran: &str, log: &str) -> Result<String> {
    let mut text = format!("{target} was rebuilt ({ran}) and is not in the matrix; {edit}\n");
    for of in repository.targets.iter().filter(|of| of.name == target) {
        let _ = writeln!(text, "{:#}", of.bake());
        if let Some(dockerfile) = of
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
