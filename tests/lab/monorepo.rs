//! The workflow of a monorepo under act: of twelve images a change builds one and the images that are based on it, each on
//! the agent that has its cache.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::{Context, Result, ensure};
use lab::Job;
use remote_buildkit_agent::routing;
use serde_json::json;

use crate::support::{LAB, Namespace, checkout, role};

const WORKFLOW: &str = r#"
on: push
permissions: { id-token: write, contents: read }
jobs:
  plan:
    runs-on: ubuntu-latest
    outputs:
      matrix: ${{ steps.plan.outputs.matrix }}
      any: ${{ steps.plan.outputs.any }}
    steps:
      - uses: actions/checkout@v7
        with: { fetch-depth: 0 }
      - uses: ./matrix
        id: plan
      - run: |
          echo "planned ${{ steps.plan.outputs.any }} ${{ join(fromJSON(steps.plan.outputs.targets), ' ') }}"
  build:
    needs: plan
    if: needs.plan.outputs.any == 'true'
    runs-on: ubuntu-latest
    strategy:
      # Jobs of act share a home directory.
      max-parallel: 1
      matrix: ${{ fromJSON(needs.plan.outputs.matrix) }}
    steps:
      - uses: actions/checkout@v7
      - uses: ./
        id: builder
        with:
          cluster: CLUSTER
          region: REGION
          role-to-assume: "ROLE"
          namespace: monorepo
          agents: 2
          cache-key: ${{ matrix.cache-key }}
      - uses: docker/bake-action@v7
        with: { targets: "${{ matrix.target }}", push: true }
      - run: |
          echo "job ${{ matrix.target }} ${{ matrix.cache-key }} ${{ fromJSON(steps.builder.outputs.nodes)[0].name }}"
"#;
const AGENTS: [&str; 2] = ["remote-buildkit-agent", "remote-buildkit-agent-2"];

/// The images without a base.
const INDEPENDENT: [&str; 7] = ["docs", "cron", "mail", "admin", "proxy", "stats", "runtime"];
/// The images with their bases.
const LINKED: [(&str, &str); 5] = [
    ("shop", "runtime"),
    ("cart", "runtime"),
    ("pay", "runtime"),
    ("search", "runtime"),
    ("gateway", "shop"),
];

fn files() -> Vec<(String, String)> {
    let workflow = WORKFLOW
        .replace("CLUSTER", &LAB.cluster)
        .replace("REGION", &LAB.region)
        .replace("ROLE", &role("ci"));
    let mut files = vec![(".github/workflows/images.yml".to_owned(), workflow)];
    let mut bake = String::new();
    let names: Vec<&str> = INDEPENDENT
        .into_iter()
        .chain(LINKED.map(|(name, _)| name))
        .collect();
    let _ = writeln!(bake, "group \"default\" {{ targets = {} }}", json!(names));
    for name in names {
        let base = LINKED.iter().find(|(of, _)| *of == name).map(|(_, base)| base);
        let contexts = base.map(|base| format!("contexts = {{ base = \"target:{base}\" }}"));
        let _ = writeln!(
            bake,
            "target \"{name}\" {{\ncontext = \"images/{name}\"\ntags = [\"{}/monorepo/{name}\"]\n{}\n}}",
            LAB.registry,
            contexts.unwrap_or_default()
        );
        let from = base.map_or("scratch", |_| "base");
        let dockerfile = format!("FROM {from}\nCOPY src /{name}\n");
        files.push((format!("images/{name}/Dockerfile"), dockerfile));
        files.push((format!("images/{name}/src/main"), format!("{name} 1\n")));
        files.push((format!("images/{name}/README.md"), format!("{name}\n")));
    }
    files.push(("docker-bake.hcl".to_owned(), bake));
    files
}

/// Cache key and agent by target.
type BuildJobs<'a> = BTreeMap<&'a str, (&'a str, &'a str)>;

/// Parses what the steps printed: the planned targets, and the jobs that built them.
fn parse_log(log: &str) -> Result<(BTreeSet<&str>, BuildJobs<'_>)> {
    let lines_after = |word: &'static str| {
        log.lines()
            .filter_map(move |line| line.split_once("| ")?.1.strip_prefix(word))
    };
    let planned = lines_after("planned ").next().context("no plan")?;
    let planned = planned
        .split(' ')
        .skip(1)
        .filter(|target| !target.is_empty())
        .collect();
    let mut jobs = BTreeMap::new();
    for job in lines_after("job ") {
        let words: Vec<&str> = job.split(' ').collect();
        let [target, key, agent] = words[..] else {
            anyhow::bail!("{job}");
        };
        ensure!(jobs.insert(target, (key, agent)).is_none(), "{target} twice");
    }
    Ok((planned, jobs))
}

#[test]
fn changed_image_and_images_based_on_it_are_built() -> Result<()> {
    let _namespace = Namespace::new("monorepo")?;
    let files = files();
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()))
        .collect();
    let repository = checkout(&files)?;
    let first = repository.head()?;
    let push = |before: &str, after: &str| -> Result<Job> {
        let payload = json!({
            "ref": "refs/heads/main", "before": before, "after": after, "created": false, "forced": false,
        });
        let workflow = ".github/workflows/images.yml";
        Job::of_push(&LAB, &repository, workflow, &payload.to_string(), |_| {})?.ok()
    };

    let second = repository.commit(&[("images/shop/src/main", "shop 2\n")])?;
    let job = push(&first, &second)?;
    let (planned, built) = parse_log(&job.log)?;
    assert_eq!(planned, BTreeSet::from(["shop", "gateway"]), "{}", job.log);
    assert_eq!(
        built.keys().copied().collect::<BTreeSet<_>>(),
        planned,
        "{}",
        job.log
    );

    let third = repository.commit(&[("images/runtime/src/main", "runtime 2\n")])?;
    let job = push(&second, &third)?;
    let (planned, built) = parse_log(&job.log)?;
    let all = BTreeSet::from(["runtime", "shop", "cart", "pay", "search", "gateway"]);
    assert_eq!(planned, all, "{}", job.log);
    assert_eq!(
        built.keys().copied().collect::<BTreeSet<_>>(),
        planned,
        "{}",
        job.log
    );
    for (target, (key, agent)) in &built {
        let expected = routing::order(key, AGENTS.to_vec(), |agent| agent)[0];
        ensure!(
            *agent == expected,
            "{target} was built on {agent}, not on {expected}"
        );
        ensure!(key.contains(target), "the key of {target} is {key}");
    }
    let agents: BTreeSet<&str> = built.values().map(|(_, agent)| *agent).collect();
    ensure!(agents.len() == 2, "one agent has all keys: {built:?}");

    // The change is in no image: no build job, and no failure.
    let fourth = repository.commit(&[("images/docs/README.md", "read me\n")])?;
    let job = push(&third, &fourth)?;
    let (planned, built) = parse_log(&job.log)?;
    ensure!(planned.is_empty() && built.is_empty(), "{}", job.log);
    Ok(())
}
