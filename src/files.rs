//! Files that only their owner may read, written whole or not at all.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;

/// Writes beside the path and renames over it; mode 0600.
pub fn write_private(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    write_private_through(folder, path, content)
}

/// The same with the temporary file in a folder of the caller's choice, on the same file system.
pub fn write_private_through(temporary: &Path, path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let temporary = temporary.join(format!(".tmp-{}", random_hex()?));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| file.write_all(content))
        .and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        // The error of the write is the one to report.
        let _ = std::fs::remove_file(&temporary);
    }
    written.with_context(|| format!("writing {}", path.display()))
}

/// A new folder of mode 0700 with a name nobody else has.
pub fn private_folder(parent: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let folder = parent.join(name);
    DirBuilder::new()
        .mode(0o700)
        .create(&folder)
        .with_context(|| format!("making the folder {}", folder.display()))?;
    Ok(folder)
}

/// Eight hexadecimal digits from the kernel.
pub fn random_hex() -> anyhow::Result<String> {
    let mut bytes = [0; 4];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .context("reading random bytes")?;
    Ok(format!("{:08x}", u32::from_ne_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_private_file_is_whole_and_0600() {
        let folder = private_folder(
            &std::env::temp_dir(),
            &format!("rbk-{}", random_hex().expect("random")),
        )
        .expect("folder");
        let path = folder.join("f");
        std::fs::write(&path, "old").expect("old");
        write_private(&path, b"new").expect("write");
        assert_eq!(std::fs::read(&path).expect("read"), b"new");
        let mode = std::fs::metadata(&path).expect("stat").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(&folder).expect("list").count(), 1);
        std::fs::remove_dir_all(folder).expect("clean");
    }
}
