//! The lab's own daemons: started with a log and a record of which process it is, stopped only if it still is.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::{cancel, command};

/// Starts and stops the daemons of one lab.
#[derive(Debug)]
pub(crate) struct Daemons {
    logs: PathBuf,
    records: PathBuf,
}

impl Daemons {
    pub(crate) fn new(dir: &Path) -> Result<Self> {
        let (logs, records) = (dir.join("log"), dir.join("pid"));
        fs::create_dir_all(&logs)?;
        fs::create_dir_all(&records)?;
        Ok(Self { logs, records })
    }

    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }

    /// Starts a daemon in a process group of its own, so that a Ctrl-C reaches us alone.
    pub(crate) fn start(&self, name: &str, command: &mut Command) -> Result<u32> {
        cancel::check()?;
        let log = File::create(self.log(name))?;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .with_context(|| format!("could not start {name}"))?;
        let started = start_time(child.id()).with_context(|| format!("{name} ended at once"))?;
        let pid = child.id();
        fs::write(self.records.join(name), format!("{pid} {started}"))?;
        // Reaped here while we live; afterwards by init.
        std::thread::spawn(move || child.wait());
        Ok(pid)
    }

    /// Waits until `ready`; a failure names the daemon's log.
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
                    "{name} ended before {what}; the end of {}:\n{}",
                    log.display(),
                    command::tail(&log, 15)
                );
            }
            sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Kills every daemon that is recorded and still the one that was started; kubelets first, so that nobody
    /// restarts what the others were running.
    pub(crate) fn stop_all(&self) -> Result<()> {
        let mut names: Vec<String> = self.list()?.into_iter().map(|(name, _)| name).collect();
        names.sort_by_key(|name| !name.starts_with("kubelet"));
        let records: Vec<Record> = names.iter().filter_map(|name| self.record(name)).collect();
        for record in &records {
            record.kill();
        }
        let deadline = Instant::now() + Duration::from_secs(10);
        while records.iter().any(Record::alive) {
            if Instant::now() > deadline {
                bail!("some of the lab's processes do not end: {records:?}");
            }
            sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// The daemons that were started, and whether each still runs.
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

    fn record(&self, name: &str) -> Option<Record> {
        Record::parse(&fs::read_to_string(self.records.join(name)).ok()?)
    }
}

/// A process that we started: its number, and when it began, for numbers are given again.
#[derive(Debug, PartialEq, Eq)]
struct Record {
    pid: u32,
    started: u64,
}

impl Record {
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

/// Kills a process that the caller knows to be the lab's.
pub(crate) fn kill(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // It may have ended by itself a moment ago.
        let _gone = kill_process(pid, Signal::KILL);
    }
}

/// When a process began, in clock ticks since boot; `None` when there is none, or only a zombie.
fn start_time(pid: u32) -> Option<u64> {
    start_time_in(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Fields of /proc/PID/stat are counted after the last parenthesis: a name may hold anything.
fn start_time_in(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    if *fields.first()? == "Z" {
        return None;
    }
    fields.get(19)?.parse().ok()
}

/// Processes whose command line holds a text.
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
    fn a_number_given_again_is_not_our_process() {
        let me = std::process::id();
        let started = start_time(me).expect("this process");
        assert!(Record { pid: me, started }.alive());
        assert!(
            !Record {
                pid: me,
                started: started + 1
            }
            .alive()
        );
    }
}
