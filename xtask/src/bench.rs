//! `cargo xtask bench`: measures this program and the alternatives in one run. The ratios matter; the seconds depend on the
//! machine.

mod alternatives;
mod load;
mod matrix;
mod measure;
mod transport;

use anyhow::Result;
use lab::{Lab, State};

use crate::tool::{cargo, root, stage};
use alternatives::{BuildxDriver, HandWritten, Runner};
use measure::{Sample, median, repeat};

#[derive(Debug, clap::Args)]
pub(crate) struct BenchArgs {
    /// Number of runs of each case; the median is shown
    #[arg(long, default_value_t = 9)]
    runs: usize,
    /// The binary to measure; a release build of this source by default
    #[arg(long)]
    binary: Option<std::path::PathBuf>,
    /// One part of the benchmark; all by default
    #[arg(value_enum)]
    part: Option<Part>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// One job, compared with the alternatives
    Single,
    /// A hundred jobs at the same time; on the running lab, if there is one
    Load,
    /// The matrix of a monorepo with a thousand images; on the running lab, if there is one
    Matrix,
    /// A build context of 400 MB, through the API server and over the daemon's own socket
    Transport,
}

pub(crate) fn run(args: &BenchArgs) -> Result<()> {
    lab::cancel::watch()?;
    let binary = match &args.binary {
        Some(binary) => binary.canonicalize()?,
        None => {
            stage("release build", &mut cargo(&["build", "--release", "--locked"]))?;
            root().join("target/release/remote-buildkit")
        }
    };
    let installed = lab::install()?;
    let lab = if matches!(args.part, Some(Part::Load | Part::Matrix)) {
        Lab::running_or_new(&installed)?
    } else {
        Lab::up(&installed, 1)?
    };
    let state = lab.state()?;
    let wanted = |part| args.part.is_none_or(|only| only == part);
    if wanted(Part::Single) {
        bench(state, &binary, args.runs)?;
    }
    if wanted(Part::Transport) {
        transport::run(state, &binary, args.runs)?;
    }
    if wanted(Part::Load) {
        load::run(state, &Runner::new(state, &binary)?)?;
    }
    if wanted(Part::Matrix) {
        matrix::run(state, &binary, args.runs)?;
    }
    Ok(())
}

fn bench(state: &State, binary: &std::path::Path, runs: usize) -> Result<()> {
    let runner = Runner::new(state, binary)?;
    let absent = repeat(3, |n| runner.connect_absent(n))?;
    let driver = BuildxDriver::new(&runner);
    let theirs = repeat(3, |n| driver.create(n))?;

    runner.connect()?;
    let hand_written = HandWritten::new(&runner)?;
    // Interleaved, so that a change of the machine's speed affects all cases equally.
    let (mut connect, mut step) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        connect.push(runner.connect()?);
        step.push(hand_written.step()?);
    }
    let fixed = runner.with_static_credential()?;
    let (mut ours, mut with_aws, mut with_fixed) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        ours.push(runner.rebuild()?);
        with_aws.push(hand_written.rebuild()?);
        with_fixed.push(fixed.rebuild()?);
    }
    let start = repeat(runs, |_| runner.version())?;
    let token = repeat(runs, |_| runner.token())?;

    let wall = |samples: &[Sample]| median(samples.iter().map(|s| s.wall));
    let cpu = |samples: &[Sample]| median(samples.iter().map(|s| s.cpu));
    let ratio = |a: &[Sample], b: &[Sample]| format!("{:.2}", wall(a) / wall(b));
    println!("\nmedians of {runs} runs (3 runs if an agent is created), seconds");
    let row = |what: &str, value: String, goal: &str| println!("{what:66} {value:>9}   {goal}");
    row(
        "connect, agent running, exec probe included",
        format!("{:.3}", wall(&connect)),
        "",
    );
    row(
        "  a step written by hand: aws eks update-kubeconfig, JSON, buildx use",
        format!("{:.3}", wall(&step)),
        "",
    );
    row("  ratio", ratio(&connect, &step), "at most 0.25");
    row(
        "  connect's own share: its processor time and its plugin's",
        format!("{:.3}", cpu(&connect)),
        "at most 0.030",
    );
    row("warm rebuild, nothing changed", format!("{:.3}", wall(&ours)), "");
    row(
        "  with a static credential",
        format!("{:.3}", wall(&with_fixed)),
        "",
    );
    row("  ratio", ratio(&ours, &with_fixed), "at most 1.2");
    row(
        "  with the kubeconfig written by hand (aws eks get-token)",
        format!("{:.3}", wall(&with_aws)),
        "",
    );
    row("  ratio", ratio(&ours, &with_aws), "at most 0.4");
    row(
        "connect, agent absent, image present",
        format!("{:.2}", wall(&absent)),
        "under 6",
    );
    row(
        "  buildx's kubernetes driver: create, bootstrap",
        format!("{:.2}", wall(&theirs)),
        "",
    );
    row(
        "start-up (--version)",
        format!("{:.4}", wall(&start)),
        "at most 0.003",
    );
    row("a call of the plugin", format!("{:.4}", wall(&token)), "");
    let peak = connect
        .iter()
        .chain(&absent)
        .filter_map(|s| s.peak_mib)
        .fold(0.0, f64::max);
    row(
        "peak memory of connect, MiB (sampled)",
        format!("{peak:.1}"),
        "at most 30",
    );
    let size = std::fs::metadata(binary)?.len();
    row(
        "size of the measured binary, MB",
        format!("{:.1}", size as f64 / 1e6),
        "at most 9",
    );
    Ok(())
}
