//! A command that cannot write its output fails.

use std::fs::File;
use std::process::{Command, Stdio};

#[test]
fn a_full_disk_is_an_error_and_a_reader_that_leaves_is_none() {
    let manifests = |stdout: Stdio| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_remote-buildkit"));
        command.arg("manifests").stdin(Stdio::null()).stdout(stdout);
        command.output().expect("started")
    };
    let full = File::options().write(true).open("/dev/full").expect("there");
    let failed = manifests(full.into());
    let stderr = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert_eq!(failed.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("writing to standard output: No space left on device"),
        "{stderr}"
    );

    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let left = manifests(writer.into());
    assert!(left.status.success(), "{}", String::from_utf8_lossy(&left.stderr));
}
