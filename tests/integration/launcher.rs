//! The launcher in dist/, run by the real `node`, with a shell script in place of the binary.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

/// A copy of dist/ whose binary for this machine is the script `binary`.
struct Dist(PathBuf);

impl Dist {
    fn without_binary(test: &str) -> Result<Self> {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("launcher").join(test);
        if dir.exists() {
            fs::remove_dir_all(&dir)?;
        }
        fs::create_dir_all(&dir)?;
        for name in [
            "launch.mjs",
            "connect.mjs",
            "disconnect.mjs",
            "matrix.mjs",
            "runner.mjs",
        ] {
            let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("dist").join(name);
            fs::copy(from, dir.join(name))?;
        }
        Ok(Self(dir))
    }

    fn new(test: &str, binary: &str) -> Result<Self> {
        let dist = Self::without_binary(test)?;
        fs::write(dist.binary(), format!("#!/bin/sh\n{binary}\n"))?;
        dist.chmod(0o755)?;
        Ok(dist)
    }

    fn binary(&self) -> PathBuf {
        let arch = match std::env::consts::ARCH {
            "x86_64" => "x64",
            "aarch64" => "arm64",
            other => other,
        };
        self.0.join(format!("remote-buildkit-linux-{arch}"))
    }

    fn chmod(&self, mode: u32) -> Result<()> {
        Ok(fs::set_permissions(
            self.binary(),
            fs::Permissions::from_mode(mode),
        )?)
    }

    fn node(&self, script: &str) -> Command {
        let mut node = Command::new("node");
        node.arg(self.0.join(script)).stdout(Stdio::piped());
        node
    }

    fn run(&self, script: &str) -> Result<Run> {
        Run::from_output(self.node(script).output()?)
    }

    /// Sends `signal` to node alone, as the runner does, once the binary has printed that it is ready.
    fn signal(&self, script: &str, signal: Signal) -> Result<Run> {
        let mut node = self.node(script).spawn()?;
        let mut stdout = BufReader::new(node.stdout.take().context("stdout is piped")?);
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        assert_eq!(line, "ready\n");
        kill_process(Pid::from_child(&node), signal)?;
        let mut rest = Vec::new();
        stdout.read_to_end(&mut rest)?;
        let status = node.wait()?;
        Run::from_output(Output {
            status,
            stdout: rest,
            stderr: Vec::new(),
        })
    }
}

struct Run {
    /// `None` if node itself was killed.
    code: Option<i32>,
    stdout: String,
}

impl Run {
    fn from_output(output: Output) -> Result<Self> {
        Ok(Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout)?,
        })
    }
}

#[test]
fn command_environment_and_exit_code_are_passed_on() -> Result<()> {
    // Reads /proc instead of running `env`: a shell drops variables whose names it cannot use itself.
    let script = r#"echo "$# $1"; tr '\0' '\n' </proc/$$/environ | grep ^INPUT_; exit 3"#;
    let dist = Dist::new("passes", script)?;
    let run = Run::from_output(
        dist.node("connect.mjs")
            .env("INPUT_STORAGE-CLASS", "gp3")
            .output()?,
    )?;
    assert_eq!(run.stdout, "1 connect\nINPUT_STORAGE-CLASS=gp3\n");
    assert_eq!(run.code, Some(3));

    let dist = Dist::new("passes", "echo \"$# $1\"")?;
    let run = dist.run("disconnect.mjs")?;
    assert_eq!(run.stdout, "1 disconnect\n");
    assert_eq!(run.code, Some(0));
    assert_eq!(dist.run("matrix.mjs")?.stdout, "1 matrix\n");
    assert_eq!(dist.run("runner.mjs")?.stdout, "1 runner\n");
    Ok(())
}

#[test]
fn exit_code_of_a_killed_binary_is_128_plus_the_signal() -> Result<()> {
    let dist = Dist::new("killed", "kill -KILL $$")?;
    assert_eq!(dist.run("connect.mjs")?.code, Some(137));
    Ok(())
}

#[test]
fn forwards_signals_and_waits_for_the_binary() -> Result<()> {
    for (signal, name, code) in [
        (Signal::INT, "INT", 11),
        (Signal::TERM, "TERM", 12),
        (Signal::HUP, "HUP", 13),
    ] {
        // The trap sleeps, so that node must wait for the binary to end.
        let script = format!(
            "trap 'sleep 0.3; echo got {name}; exit {code}' {name}
             echo ready; for i in $(seq 100); do sleep 0.05; done"
        );
        let run = Dist::new("forwards", &script)?.signal("connect.mjs", signal)?;
        assert_eq!(run.stdout, format!("got {name}\n"));
        assert_eq!(run.code, Some(code));
    }
    Ok(())
}

#[test]
fn unhandled_signal_ends_the_binary() -> Result<()> {
    let dist = Dist::new("unhandled", "echo ready; exec sleep 60")?;
    assert_eq!(dist.signal("connect.mjs", Signal::TERM)?.code, Some(143));
    Ok(())
}

#[test]
fn disconnect_never_fails_a_job() -> Result<()> {
    let warns = |run: Run| {
        assert!(
            run.stdout.starts_with("::warning title=remote-buildkit::"),
            "{}",
            run.stdout
        );
        assert_eq!(run.code, Some(0));
    };
    warns(Dist::new("post", "exit 4")?.run("disconnect.mjs")?);
    warns(Dist::new("post", "kill -KILL $$")?.run("disconnect.mjs")?);
    warns(Dist::without_binary("post")?.run("disconnect.mjs")?);
    let endless = Dist::new("post", "echo ready; exec sleep 60")?;
    warns(endless.signal("disconnect.mjs", Signal::INT)?);
    Ok(())
}

#[test]
fn missing_and_non_executable_binaries_are_errors_with_a_remedy() -> Result<()> {
    let dist = Dist::without_binary("binary")?;
    let binary = dist.binary();
    let run = dist.run("connect.mjs")?;
    assert_eq!(
        run.stdout,
        format!(
            "::error title=remote-buildkit::File not found: {}. Use the action at a release tag. In a checkout of \
             remote-buildkit, build the binary with `cargo xtask dist`.\n",
            binary.display()
        )
    );
    assert_eq!(run.code, Some(1));

    fs::write(&binary, "#!/bin/sh\n")?;
    dist.chmod(0o644)?;
    let run = dist.run("connect.mjs")?;
    assert_eq!(
        run.stdout,
        format!(
            "::error title=remote-buildkit::Cannot execute {}: permission denied. Make the file executable (`chmod +x`), \
             and check that its file system is not mounted with noexec.\n",
            binary.display()
        )
    );
    assert_eq!(run.code, Some(1));
    Ok(())
}

#[test]
fn refuses_other_platforms() -> Result<()> {
    let dist = Dist::new("platform", "echo must not run")?;
    for (platform, arch) in [("win32", "x64"), ("darwin", "arm64"), ("linux", "arm")] {
        let pretend = format!(
            "--import=data:text/javascript,Object.defineProperties(process,\
             {{platform:{{value:'{platform}'}},arch:{{value:'{arch}'}}}})"
        );
        let run = |script| Run::from_output(dist.node(script).env("NODE_OPTIONS", &pretend).output()?);
        let connect = run("connect.mjs")?;
        let expected = format!(
            "::error title=remote-buildkit::remote-buildkit runs on Linux x64 and arm64; this runner is {platform} {arch}. \
             Use a Linux runner for this job. It can build images for other platforms.\n"
        );
        assert_eq!(connect.stdout, expected);
        assert_eq!(connect.code, Some(1));

        let disconnect = run("disconnect.mjs")?;
        assert!(disconnect.stdout.starts_with("::warning title=remote-buildkit::"));
        assert_eq!(disconnect.code, Some(0));
    }
    Ok(())
}
