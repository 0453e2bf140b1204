//! Compares the matrix with BuildKit: a target that BuildKit does not serve from its cache after a change must be in
//! the matrix.
//!
//! The test generates random repositories and changes them at random. It builds all targets before and after each
//! change, and compares the rebuilt targets with the output of `remote-buildkit matrix`. A rebuilt target that is not
//! in the matrix is a miss and fails the test. A target in the matrix that came from the cache is a needless build;
//! their number is printed to standard error.

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
use self::repository::RandomRepository;
use self::tally::Tally;
use self::truth::Built;

/// The variable that sets the random seed. The default is fixed, so that every run generates the same repositories;
/// use other seeds after changes to the plan.
const SEED: &str = "REMOTE_BUILDKIT_ORACLE_SEED";
const DEFAULT_SEED: u64 = 1;
/// The variable that sets the number of repositories. 50 take minutes, so `cargo xtask test` sets fewer unless it is
/// called with `--all` or `--only`.
const REPOSITORIES: &str = "REMOTE_BUILDKIT_ORACLE_REPOSITORIES";
const ALL_REPOSITORIES: usize = 50;
/// The number of edits of each repository.
const EDITS: usize = 10;
/// The number of repositories that are compared at once.
const WORKERS: usize = 3;
/// The number of repositories in [`rebuilt_targets_are_confirmed_in_a_copy`].
const COPIED: usize = 4;

#[test]
fn rebuilt_targets_are_in_the_matrix() -> Result<()> {
    let seed: u64 = match std::env::var(SEED) {
        Ok(seed) => seed.parse().context(SEED)?,
        Err(_) => DEFAULT_SEED,
    };
    let repositories = match std::env::var(REPOSITORIES) {
        Ok(number) => number.parse().context(REPOSITORIES)?,
        Err(_) => ALL_REPOSITORIES,
    };
    let rerun = format!("{SEED}={seed} does it again");
    let agent = Agent::new("oracle")?;
    let next = AtomicUsize::new(0);
    let worker = || -> Result<Tally> {
        let mut tally = Tally::default();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= repositories {
                return Ok(tally);
            }
            tally.add(compare_edits(&agent, seed, number).with_context(|| format!("repository {number}"))?);
        }
    };
    let tally = std::thread::scope(|scope| -> Result<Tally> {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(worker)).collect();
        let mut all = Tally::default();
        for worker in workers {
            all.add(
                worker
                    .join()
                    .unwrap_or_else(|_| bail!("a panic"))
                    .with_context(|| rerun.clone())?,
            );
        }
        Ok(all)
    })?;
    tally.print(&rerun);
    ensure!(
        tally.edits == repositories * EDITS,
        "{} edits; {rerun}",
        tally.edits
    );
    ensure!(
        tally.is_selective(),
        "{} targets are built needlessly; {rerun}",
        tally.needless
    );
    ensure!(tally.misses.is_empty(), "{rerun}\n{}", tally.misses.join("\n\n"));
    Ok(())
}

/// [`confirm_rebuilt`] rarely has anything to confirm. This test passes it every rebuilt target, and it must confirm
/// those that are in the matrix.
#[test]
fn rebuilt_targets_are_confirmed_in_a_copy() -> Result<()> {
    let agent = Agent::new("oracle-copy")?;
    let mut tally = Tally::default();
    let mut count = 0;
    for number in 0..COPIED {
        let (mut repository, before) = generate(&agent, DEFAULT_SEED, number, &mut tally)?;
        let edit = repository.edit()?;
        let planned = plan::run(&agent, &repository, "HEAD~1")?;
        let Ok(after) = truth::bake(&agent, repository.root())? else {
            continue;
        };
        let rebuilt = after.rebuilt_since(&before);
        let nothing_planned = Planned {
            targets: BTreeSet::new(),
            log: String::new(),
        };
        let confirmed = confirm_rebuilt(&agent, &repository, rebuilt.clone(), &nothing_planned, &mut tally)?;
        for target in rebuilt.keys().filter(|target| planned.targets.contains(*target)) {
            ensure!(
                confirmed.contains_key(target),
                "repository {number}, {edit}: {target}"
            );
            count += 1;
        }
    }
    ensure!(count > COPIED, "{count} targets confirmed");
    Ok(())
}

/// Generates a repository and compares each of its changes.
fn compare_edits(agent: &Agent, seed: u64, number: usize) -> Result<Tally> {
    let mut tally = Tally::default();
    let (mut repository, mut before) = generate(agent, seed, number, &mut tally)?;
    // Some edits are rejected, because they remove a file that a build needs.
    for _ in 0..EDITS * 3 {
        if tally.edits == EDITS {
            break;
        }
        let dockerfiles = repository.dockerfiles.clone();
        let edit = repository.edit()?;
        let planned = plan::run(agent, &repository, "HEAD~1")?;
        let error = if planned.lacks_sources() {
            "a source is missing".to_owned()
        } else {
            match truth::bake(agent, repository.root())? {
                Ok(after) => {
                    let rebuilt = confirm_rebuilt(
                        agent,
                        &repository,
                        after.rebuilt_since(&before),
                        &planned,
                        &mut tally,
                    )?;
                    tally.count(&repository, &edit, &rebuilt, &planned)?;
                    before = after;
                    continue;
                }
                Err(error) => error,
            }
        };
        tally.add_rejected(&edit, &error);
        repository.git(&["reset", "--quiet", "--hard", "HEAD~1"])?;
        repository.dockerfiles = dockerfiles;
    }
    Ok(tally)
}

/// Removes targets that BuildKit rebuilt although their inputs did not change, which it does occasionally. Rebuilt
/// targets that are not in the matrix are built again, before and after the change, in a copy of the repository. The
/// copy has another name, so none of its steps are in the cache.
fn confirm_rebuilt(
    agent: &Agent,
    repository: &RandomRepository,
    mut rebuilt: BTreeMap<String, String>,
    planned: &Planned,
    tally: &mut Tally,
) -> Result<BTreeMap<String, String>> {
    if rebuilt.keys().all(|target| planned.targets.contains(target)) {
        return Ok(rebuilt);
    }
    let mut builds = Vec::new();
    for commit in ["HEAD~1", "HEAD"] {
        let copy = repository.copy(commit)?;
        match truth::bake(agent, copy.path())? {
            Ok(built) => builds.push(built),
            Err(error) => bail!("BuildKit rejects a copy: {error}"),
        }
    }
    let in_copy = builds[1].rebuilt_since(&builds[0]);
    let before = rebuilt.len();
    rebuilt.retain(|target, _| {
        planned.targets.contains(target) || in_copy.contains_key(&repository.name_in_copy(target))
    });
    tally.unconfirmed += before - rebuilt.len();
    Ok(rebuilt)
}

/// Generates a repository that can be built, and builds it.
fn generate(agent: &Agent, seed: u64, number: usize, tally: &mut Tally) -> Result<(RandomRepository, Built)> {
    let mut rng = Rng::with_seed(seed * 1_000 + number as u64);
    // The name differs in each run, because an agent may have the same repository in its cache.
    let run = std::process::id();
    for attempt in 0..10 {
        let name = format!("r{run}x{number}x{attempt}");
        let repository = RandomRepository::new(&name, rng.fork(), &agent.shell())?;
        if plan::run(agent, &repository, "HEAD")?.lacks_sources() {
            tally.add_rejected("a new repository", "a source is missing");
            continue;
        }
        match truth::bake(agent, repository.root())? {
            Ok(built) => return Ok((repository, built)),
            Err(error) => tally.add_rejected("a new repository", &error),
        }
    }
    bail!("BuildKit rejects ten repositories: {:?}", tally.rejected)
}
