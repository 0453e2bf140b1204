//! How often the matrix was right.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;

use anyhow::Result;

use super::plan::Planned;
use super::repository::Repository;

#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) edits: usize,
    /// Targets after each edit, all of them.
    targets: usize,
    /// Of those, the ones that BuildKit made anew.
    anew: usize,
    planned: usize,
    pub(super) needless: usize,
    /// Of those in the matrix and those built needlessly, the ones after a .dockerignore changed. What one said before
    /// is not looked at, so each has all targets built that it is for.
    ignores: (usize, usize),
    /// How often a kind of edit had a target built needlessly.
    why: BTreeMap<String, usize>,
    pub(super) misses: Vec<String>,
    /// What BuildKit made anew, but not when asked again.
    pub(super) taken_back: usize,
    /// What BuildKit said of what was made here.
    pub(super) refused: Vec<String>,
}

impl Tally {
    pub(super) fn count(
        &mut self,
        repository: &Repository,
        edit: &str,
        anew: &BTreeMap<String, String>,
        planned: &Planned,
    ) -> Result<()> {
        self.edits += 1;
        self.targets += repository.targets.len();
        self.anew += anew.len();
        self.planned += planned.targets.len();
        for (target, ran) in anew
            .iter()
            .filter(|(target, _)| !planned.targets.contains(*target))
        {
            self.misses
                .push(miss(repository, edit, target, ran, &planned.log)?);
        }
        let made: BTreeSet<&String> = anew.keys().collect();
        let needless = planned
            .targets
            .iter()
            .filter(|target| !made.contains(target))
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
        self.anew += other.anew;
        self.planned += other.planned;
        self.needless += other.needless;
        self.ignores.0 += other.ignores.0;
        self.ignores.1 += other.ignores.1;
        for (kind, count) in other.why {
            *self.why.entry(kind).or_default() += count;
        }
        self.taken_back += other.taken_back;
        self.misses.extend(other.misses);
        self.refused.extend(other.refused);
    }

    /// Otherwise it would be as good to build everything always.
    pub(super) fn is_choosy(&self) -> bool {
        self.needless * 10 < self.planned
    }

    /// Past the test runner, which keeps what a test prints to itself.
    pub(super) fn print(&self, again: &str) {
        let percent = |part: usize, of: usize| 100.0 * part as f64 / of.max(1) as f64;
        let line = format!(
            "oracle: {} edits of {} targets: {} made anew, {} in the matrix, {} of them needlessly ({:.1} %; {:.1} % \
             where no .dockerignore changed), {} missed; {} made anew once and not again; {} edits refused; needlessly \
             after {:?}; {again}\n",
            self.edits,
            self.targets,
            self.anew,
            self.planned,
            self.needless,
            percent(self.needless, self.planned),
            percent(self.needless - self.ignores.1, self.planned - self.ignores.0),
            self.misses.len(),
            self.taken_back,
            self.refused.len(),
            self.why,
        );
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
}

/// What was done, and to what kind of file.
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

/// All that one needs to find out why.
fn miss(repository: &Repository, edit: &str, target: &str, ran: &str, log: &str) -> Result<String> {
    let mut text = format!("{target} was made anew ({ran}) and is not in the matrix; {edit}\n");
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
