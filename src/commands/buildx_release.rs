//! Downloads a release of buildx, for a job or for a machine.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Output;

use anyhow::{Context, ensure};

use crate::download::{self, DownloadSource};
use crate::error_code::ErrorCode;
use crate::files;
use crate::problem::Problem;
use crate::retry::Retrier;

/// Downloads a release to an unnamed file.
pub(super) async fn download(source: &DownloadSource, retrier: &Retrier) -> anyhow::Result<File> {
    let file = unnamed_file()?;
    download::download(source, &file, retrier).await?;
    Ok(file)
}

/// Returns what `buildx version` printed, from the output of this program.
pub(super) fn printed_version(program: &Path, output: anyhow::Result<Output>) -> anyhow::Result<String> {
    let output = output.with_context(|| format!("running {} version", program.display()))?;
    ensure!(
        output.status.success(),
        "{} version: {}",
        program.display(),
        output.status
    );
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Returns the error for a file that has the correct checksum but is not a working buildx, for example one for
/// another architecture.
pub(super) fn not_buildx(source: &DownloadSource, error: &anyhow::Error) -> anyhow::Error {
    let what = format!(
        "Downloaded {} from {}, but it does not run on this machine: {}.",
        source.name,
        source.url,
        error.root_cause()
    );
    let remedy = "Check that the file is a buildx for this machine's architecture (uname -m), and that no file system is mounted noexec; or set `buildx-url` and `buildx-sha256` to another file. Nothing was installed.";
    Problem::new(ErrorCode::InstallFailed, what, remedy).into()
}

/// Creates a temporary file and unlinks it, because not every file system supports O_TMPFILE.
fn unnamed_file() -> anyhow::Result<File> {
    let path = std::env::temp_dir().join(format!(".remote-buildkit-{}", files::random_hex()?));
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(0o600);
    let file = options
        .open(&path)
        .with_context(|| format!("creating {}", path.display()))?;
    std::fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buildx::release::{self, Release};

    #[test]
    fn error_of_a_file_that_is_not_buildx() {
        let source = release::source("x86_64", &Release::Pinned, None).expect("a release");
        let error =
            anyhow::anyhow!("Exec format error (os error 8)").context("running .docker-buildx version");
        let text = not_buildx(&source, &error).to_string();
        let version = source.name.trim_start_matches("buildx ");
        insta::assert_snapshot!(text.replace(version, "vN"));
    }
}
