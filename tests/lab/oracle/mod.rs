//! BuildKit is the oracle: what it does not serve from its cache after a change has to be in the matrix.
//!
//! Repositories are made at random and changed at random; all targets of each are built before and after a change, and
//! `remote-buildkit matrix` is asked which of them the change touches. A target that BuildKit had to make anew and that
//! is not in the matrix is a miss, and there may be none. One that is in the matrix and came from the cache is built
//! needlessly; how many is said on standard error.

mod agent;
mod dockerfile;
mod edits;
mod ignore;
mod plan;
mod repository;
mod steps;
mod tally;
mod tree;
mod truth;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, bail, ensure};
use fastrand::Rng;

use self::agent::Agent;
use self::plan::Planned;
use self::repository::Repository;
use self::tally::Tally;
use self::truth::Built;

/// The number that everything random here follows from. Whoever changes what is planned tries others than [`USUAL`],
/// which is for everyone to see the same.
const SEED: &str = "REMOTE_BUILDKIT_ORACLE_SEED";
const USUAL: u64 = 1;
/// How many repositories are made: 50 take minutes, so `cargo xtask test` sets fewer unless it is called with `--all`.
const REPOSITORIES: &str = "REMOTE_BUILDKIT_ORACLE_REPOSITORIES";
const ALL_REPOSITORIES: usize = 50;
/// Of each repository.
const EDITS: usize = 10;
const AT_ONCE: usize = 3;
/// Repositories of [`a_copy_is_made_anew_as_well`].
const COPIED: usize = 4;

#[test]
fn what_buildkit_does_not_have_is_in_the_matrix() -> Result<()> {
    let seed: u64 = match std::env::var(SEED) {
        Ok(seed) => seed.parse().context(SEED)?,
        Err(_) => USUAL,
    };
    let repositories = match std::env::var(REPOSITORIES) {
        Ok(number) => number.parse().context(REPOSITORIES)?,
        Err(_) => ALL_REPOSITORIES,
    };
    let again = format!("{SEED}={seed} does it again");
    let agent = Agent::new("oracle")?;
    let next = AtomicUsize::new(0);
    let worker = || -> Result<Tally> {
        let mut tally = Tally::default();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= repositories {
                return Ok(tally);
            }
            tally.add(watch(&agent, seed, number).with_context(|| format!("repository {number}"))?);
        }
    };
    let tally = std::thread::scope(|scope| -> Result<Tally> {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(worker)).collect();
        let mut all = Tally::default();
        for worker in workers {
            all.add(
                worker
                    .join()
                    .unwrap_or_else(|_| bail!("a panic"))
                    .with_context(|| again.clone())?,
            );
        }
        Ok(all)
    })?;
    tally.print(&again);
    ensure!(
        tally.edits == repositories * EDITS,
        "{} edits; {again}",
        tally.edits
    );
    ensure!(
        tally.is_choosy(),
        "{} targets are built needlessly; {again}",
        tally.needless
    );
    ensure!(tally.misses.is_empty(), "{again}\n{}", tally.misses.join("\n\n"));
    Ok(())
}

/// [`sure`] seldom has anything to look at. Here it gets every target that was made anew, and has to confirm those that the
/// matrix has as well.
#[test]
fn a_copy_is_made_anew_as_well() -> Result<()> {
    let agent = Agent::new("oracle-copy")?;
    let mut tally = Tally::default();
    let mut stayed = 0;
    for number in 0..COPIED {
        let (mut repository, before) = built(&agent, USUAL, number, &mut tally)?;
        let edit = repository.edit()?;
        let planned = plan::of(&agent, &repository, "HEAD~1")?;
        let Ok(after) = truth::bake(&agent, repository.root())? else {
            continue;
        };
        let anew = after.made_anew(&before);
        let nothing_planned = Planned {
            targets: BTreeSet::new(),
            log: String::new(),
        };
        let sure = sure(&agent, &repository, anew.clone(), &nothing_planned, &mut tally)?;
        for target in anew.keys().filter(|target| planned.targets.contains(*target)) {
            ensure!(sure.contains_key(target), "repository {number}, {edit}: {target}");
            stayed += 1;
        }
    }
    ensure!(stayed > COPIED, "{stayed} targets made anew");
    Ok(())
}

/// Makes a repository, and changes it again and again.
fn watch(agent: &Agent, seed: u64, number: usize) -> Result<Tally> {
    let mut tally = Tally::default();
    let (mut repository, mut before) = built(agent, seed, number, &mut tally)?;
    // What is changed may be something that a build cannot do without.
    for _ in 0..EDITS * 3 {
        if tally.edits == EDITS {
            break;
        }
        let dockerfiles = repository.dockerfiles.clone();
        let edit = repository.edit()?;
        let planned = plan::of(agent, &repository, "HEAD~1")?;
        let said = if planned.lacks_sources() {
            "a source is not there".to_owned()
        } else {
            match truth::bake(agent, repository.root())? {
                Ok(after) => {
                    let anew = sure(agent, &repository, after.made_anew(&before), &planned, &mut tally)?;
                    tally.count(&repository, &edit, &anew, &planned)?;
                    before = after;
                    continue;
                }
                Err(said) => said,
            }
        };
        tally.refuse(&edit, &said);
        repository.git(&["reset", "--quiet", "--hard", "HEAD~1"])?;
        repository.dockerfiles = dockerfiles;
    }
    Ok(tally)
}

/// BuildKit now and then runs a step again whose inputs are as they were. So what it made anew and the matrix does not
/// have is built again, before and after the change, as the same repository by another name: of that, nothing is in the
/// cache yet.
fn sure(
    agent: &Agent,
    repository: &Repository,
    mut anew: BTreeMap<String, String>,
    planned: &Planned,
    tally: &mut Tally,
) -> Result<BTreeMap<String, String>> {
    if anew.keys().all(|target| planned.targets.contains(target)) {
        return Ok(anew);
    }
    let mut builds = Vec::new();
    for commit in ["HEAD~1", "HEAD"] {
        let copy = repository.copy(commit)?;
        match truth::bake(agent, copy.path())? {
            Ok(built) => builds.push(built),
            Err(said) => bail!("a copy that BuildKit refuses: {said}"),
        }
    }
    let again = builds[1].made_anew(&builds[0]);
    let before = anew.len();
    anew.retain(|target, _| {
        planned.targets.contains(target) || again.contains_key(&repository.copied(target))
    });
    tally.taken_back += before - anew.len();
    Ok(anew)
}

/// A repository that can be built, and its first build.
fn built(agent: &Agent, seed: u64, number: usize, tally: &mut Tally) -> Result<(Repository, Built)> {
    let mut rng = Rng::with_seed(seed * 1_000 + number as u64);
    // An agent that saw the same repository before would have it in its cache.
    let run = std::process::id();
    for attempt in 0..10 {
        let name = format!("r{run}x{number}x{attempt}");
        let repository = Repository::new(&name, rng.fork(), &agent.shell())?;
        if plan::of(agent, &repository, "HEAD")?.lacks_sources() {
            tally.refuse("a new repository", "a source is not there");
            continue;
        }
        match truth::bake(agent, repository.root())? {
            Ok(built) => return Ok((repository, built)),
            Err(said) => tally.refuse("a new repository", &said),
        }
    }
    bail!("ten repositories that BuildKit refuses: {:?}", tally.refused)
}
