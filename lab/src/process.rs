//! The lab's daemons: each is started with a log and a record of its process, and stopped only if the process is still the
//! recorded one.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use crate::{cancel, command, pki};

/// Starts and stops the daemons of a lab.
#[derive(Debug)]
pub(crate) struct Daemons {
    logs: PathBuf,
    records: PathBuf,
    /// The directory of the recorded command lines, with which daemons are started again.
    commands: PathBuf,
}

impl Daemons {
    pub(crate) fn new(dir: &Path) -> Result<Self> {
        let [logs, records, commands] = ["log", "pid", "command"].map(|name| dir.join(name));
        for dir in [&logs, &records, &commands] {
            fs::create_dir_all(dir)?;
        }
        Ok(Self {
            logs,
            records,
            commands,
        })
    }

    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }

    /// Starts a daemon in its own process group, so that Ctrl-C reaches only this process.
    pub(crate) fn start(&self, name: &str, command: &mut Command) -> Result<u32> {
        cancel::check()?;
        let line = serde_json::to_string(&CommandLine::of(command))?;
        pki::write_secret(&self.commands.join(name), &line)?;
        let log = File::options().create(true).append(true).open(self.log(name))?;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .with_context(|| format!("could not start {name}"))?;
        let started = start_time(child.id()).with_context(|| format!("{name} exited immediately"))?;
        let pid = child.id();
        fs::write(self.records.join(name), format!("{pid} {started}"))?;
        // Reaped by this process while it runs, afterwards by init.
        std::thread::spawn(move || child.wait());
        Ok(pid)
    }

    /// Starts a daemon again with its recorded command line and these additional arguments.
    pub(crate) fn restart(&self, name: &str, arguments: &[&str]) -> Result<()> {
        let path = self.commands.join(name);
        let text = fs::read(&path).with_context(|| format!("could not read {}", path.display()))?;
        let line: CommandLine = serde_json::from_slice(&text)?;
        self.start(name, line.command().args(arguments))?;
        Ok(fs::write(path, text)?)
    }

    /// Sends a signal to a running daemon.
    pub(crate) fn signal(&self, name: &str, signal: Signal) -> Result<()> {
        let record = self.record(name).filter(ProcessRecord::alive);
        let record = record.with_context(|| format!("{name} is not running"))?;
        let pid = Pid::from_raw(i32::try_from(record.pid)?).context("a pid")?;
        kill_process(pid, signal).with_context(|| format!("could not signal {name}"))
    }

    /// Kills a daemon and waits until it has exited.
    pub(crate) fn kill(&self, name: &str) -> Result<()> {
        self.signal(name, Signal::KILL)?;
        let deadline = Instant::now() + Duration::from_secs(10);
        // Until it is reaped, not only a zombie: other threads may still hold its port.
        let there = |pid: u32| Path::new(&format!("/proc/{pid}")).exists();
        while self.record(name).is_some_and(|record| there(record.pid)) {
            ensure!(Instant::now() < deadline, "{name} does not exit");
            sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Waits until `ready`. The error contains the end of the daemon's log.
    pub(crate) fn wait_for(&self, name: &str, what: &str, ready: impl Fn() -> bool) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(90);
        while !ready() {
            cancel::check()?;
            let log = self.log(name);
            if Instant::now() > deadline {
                bail!(
                    "waited 90 s for {what}; the end of {}:\n{}",
                    log.display(),
                    command::tail(&log, 15)
                );
            }
            if self.record(name).is_some_and(|r| !r.alive()) {
                bail!(
                    "{name} exited before {what}; the end of {}:\n{}",
                    log.display(),
                    command::tail(&log, 15)
                );
            }
            sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Kills every recorded daemon that is still the same process; kubelets first, so that they do not restart containers.
    pub(crate) fn stop_all(&self) -> Result<()> {
        let mut names: Vec<String> = self.list()?.into_iter().map(|(name, _)| name).collect();
        names.sort_by_key(|name| !name.starts_with("kubelet"));
        let records: Vec<ProcessRecord> = names.iter().filter_map(|name| self.record(name)).collect();
        for record in &records {
            record.kill();
        }
        let deadline = Instant::now() + Duration::from_secs(10);
        while records.iter().any(ProcessRecord::alive) {
            if Instant::now() > deadline {
                bail!("some of the lab's processes do not exit: {records:?}");
            }
            sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Returns the daemons that were started, and whether each is running.
    pub(crate) fn list(&self) -> Result<Vec<(String, bool)>> {
        let names = fs::read_dir(&self.records)?
            .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()));
        let mut list: Vec<(String, bool)> = names
            .map(|name| {
                let alive = self.record(&name).is_some_and(|record| record.alive());
                (name, alive)
            })
            .collect();
        list.sort();
        Ok(list)
    }

    fn record(&self, name: &str) -> Option<ProcessRecord> {
        ProcessRecord::parse(&fs::read_to_string(self.records.join(name)).ok()?)
    }
}

/// A recorded command line, with the variables that were set for it.
#[derive(Debug, Serialize, Deserialize)]
struct CommandLine {
    program: String,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
}

impl CommandLine {
    fn of(command: &Command) -> Self {
        let text = |text: &OsStr| text.to_string_lossy().into_owned();
        let variables = command.get_envs();
        Self {
            program: text(command.get_program()),
            arguments: command.get_args().map(text).collect(),
            variables: variables
                .filter_map(|(name, value)| Some((text(name), text(value?))))
                .collect(),
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).envs(self.variables.iter().cloned());
        command
    }
}

/// A process that was started: its PID and start time, because PIDs are reused.
#[derive(Debug, PartialEq, Eq)]
struct ProcessRecord {
    pid: u32,
    started: u64,
}

impl ProcessRecord {
    fn parse(text: &str) -> Option<Self> {
        let (pid, started) = text.trim().split_once(' ')?;
        Some(Self {
            pid: pid.parse().ok()?,
            started: started.parse().ok()?,
        })
    }

    fn alive(&self) -> bool {
        start_time(self.pid) == Some(self.started)
    }

    fn kill(&self) {
        if self.alive() {
            kill(self.pid);
        }
    }
}

/// Kills a process that belongs to the lab.
pub(crate) fn kill(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // It may have exited in the meantime.
        let _gone = kill_process(pid, Signal::KILL);
    }
}

/// Returns the start time of a process in clock ticks since boot, or `None` if it does not exist or is a zombie.
fn start_time(pid: u32) -> Option<u64> {
    start_time_in(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Parses /proc/PID/stat. Its fields are counted from the last parenthesis, because a process name may contain any character.
fn start_time_in(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    if *fields.first()? == "Z" {
        return None;
    }
    fields.get(19)?.parse().ok()
}

/// Returns the processes whose command line contains a text.
pub(crate) fn with_argument(text: &str) -> Vec<u32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_string_lossy().parse::<u32>().ok())
        .filter(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).replace('\0', " ").contains(text)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_time_is_found_behind_any_name_and_a_zombie_is_gone() {
        let fields = "S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 12345 0 0";
        assert_eq!(start_time_in(&format!("7 (a) b) {fields}")), Some(12345));
        assert_eq!(
            start_time_in(&format!("7 (a) {}", fields.replacen('S', "Z", 1))),
            None
        );
    }

    #[test]
    fn a_reused_pid_is_not_our_process() {
        let me = std::process::id();
        let started = start_time(me).expect("this process");
        assert!(ProcessRecord { pid: me, started }.alive());
        assert!(
            !ProcessRecord {
                pid: me,
                started: started + 1
            }
            .alive()
        );
    }
}
