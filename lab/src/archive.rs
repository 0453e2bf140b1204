//! Container images as `docker save` writes them, made from files, with no container engine.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context as _, Result};
use ring::digest::{Context, SHA256};
use serde_json::{Value, json};

/// One image of one layer.
#[derive(Debug)]
pub(crate) struct Image<'a> {
    /// References it is imported under.
    pub tags: &'a [&'a str],
    pub entrypoint: &'a [&'a str],
    pub cmd: &'a [&'a str],
}

pub(crate) const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl Image<'_> {
    /// Writes the archive; `fill` puts the files into the layer.
    pub(crate) fn write(&self, archive: &Path, fill: impl FnOnce(&mut Layer) -> Result<()>) -> Result<()> {
        self.write_with(archive, json!({"Env": [PATH]}), fill)
    }

    /// With settings of the image's configuration, such as its user.
    pub(crate) fn write_with(
        &self,
        archive: &Path,
        mut settings: Value,
        fill: impl FnOnce(&mut Layer) -> Result<()>,
    ) -> Result<()> {
        let layer_path = archive.with_extension("layer");
        let mut layer = Layer::create(&layer_path)?;
        fill(&mut layer)?;
        let diff_id = layer.finish()?;

        settings["Entrypoint"] = json!(self.entrypoint);
        settings["Cmd"] = json!(self.cmd);
        let config = json!({
            "architecture": architecture(),
            "os": "linux",
            "config": settings,
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{diff_id}")]},
        });
        let manifest = json!([{"Config": "config.json", "RepoTags": self.tags, "Layers": ["layer.tar"]}]);
        let mut tar = tar::Builder::new(File::create(archive)?);
        append(&mut tar, "config.json", config.to_string().as_bytes(), 0o644)?;
        append(&mut tar, "manifest.json", manifest.to_string().as_bytes(), 0o644)?;
        tar.append_path_with_name(&layer_path, "layer.tar")?;
        tar.into_inner()?.sync_all()?;
        std::fs::remove_file(layer_path)?;
        Ok(())
    }
}

/// A layer being written. Paths are relative to the image's root; parents are added first.
pub(crate) struct Layer {
    tar: tar::Builder<Hashing>,
}

impl Layer {
    fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("could not create {}", path.display()))?;
        Ok(Self {
            tar: tar::Builder::new(Hashing {
                file,
                sha256: Context::new(&SHA256),
            }),
        })
    }

    pub(crate) fn dirs(&mut self, paths: &[&str]) -> Result<()> {
        for path in paths {
            let mode = if *path == "tmp" { 0o1777 } else { 0o755 };
            let mut header = header(tar::EntryType::Directory, 0, mode);
            self.tar
                .append_data(&mut header, format!("{path}/"), io::empty())?;
        }
        Ok(())
    }

    /// Folders of a user's, whose group has the user's number.
    pub(crate) fn dirs_of(&mut self, user: u64, paths: &[&str]) -> Result<()> {
        for path in paths {
            let mut header = header(tar::EntryType::Directory, 0, 0o755);
            header.set_uid(user);
            header.set_gid(user);
            self.tar
                .append_data(&mut header, format!("{path}/"), io::empty())?;
        }
        Ok(())
    }

    pub(crate) fn text(&mut self, path: &str, content: &str) -> Result<()> {
        append(&mut self.tar, path, content.as_bytes(), 0o644)
    }

    /// Copies a program of this machine.
    pub(crate) fn program(&mut self, path: &str, from: &Path) -> Result<()> {
        let content = std::fs::read(from).with_context(|| format!("could not read {}", from.display()))?;
        append(&mut self.tar, path, &content, 0o755)
    }

    /// A program that has a capability whoever starts it; its number is that of linux/capability.h.
    pub(crate) fn capable(&mut self, path: &str, from: &Path, capability: u32) -> Result<()> {
        // vfs_cap_data: the revision with the flag "effective", then what is permitted and what is inheritable, twice.
        let fields = [0x0200_0001_u32, 1 << capability, 0, 0, 0];
        let value: Vec<u8> = fields.iter().flat_map(|field| field.to_le_bytes()).collect();
        self.tar
            .append_pax_extensions([("SCHILY.xattr.security.capability", value.as_slice())])?;
        self.program(path, from)
    }

    pub(crate) fn link(&mut self, path: &str, to: &str) -> Result<()> {
        let mut header = header(tar::EntryType::Symlink, 0, 0o777);
        self.tar.append_link(&mut header, path, to)?;
        Ok(())
    }

    fn finish(self) -> Result<String> {
        let hash = self.tar.into_inner()?.sha256.finish();
        Ok(hash.as_ref().iter().map(|b| format!("{b:02x}")).collect())
    }
}

fn append(tar: &mut tar::Builder<impl Write>, path: &str, content: &[u8], mode: u32) -> Result<()> {
    let mut header = header(tar::EntryType::Regular, content.len() as u64, mode);
    tar.append_data(&mut header, path, content)?;
    Ok(())
}

/// Owner and time are fixed, so that the same files make the same image.
fn header(kind: tar::EntryType, size: u64, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "arm64",
        _ => "amd64",
    }
}

struct Hashing {
    file: File,
    sha256: Context,
}

impl std::fmt::Debug for Hashing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hashing")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

impl Write for Hashing {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let written = self.file.write(data)?;
        self.sha256.update(&data[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read as _;

    use super::*;

    #[test]
    fn an_archive_names_its_layer_by_its_digest() -> Result<()> {
        let archive = std::env::temp_dir().join(format!("rbk-image-{}.tar", std::process::id()));
        let image = Image {
            tags: &["localhost/x:1", "localhost/x:2"],
            entrypoint: &["/x"],
            cmd: &[],
        };
        image.write(&archive, |layer| {
            layer.dirs(&["etc"])?;
            layer.text("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
        })?;

        let mut files = BTreeMap::new();
        for entry in tar::Archive::new(File::open(&archive)?).entries()? {
            let mut entry = entry?;
            let name = entry.path()?.display().to_string();
            let mut content = Vec::new();
            entry.read_to_end(&mut content)?;
            files.insert(name, content);
        }
        std::fs::remove_file(&archive)?;

        let config: serde_json::Value = serde_json::from_slice(&files["config.json"])?;
        let layer = ring::digest::digest(&SHA256, &files["layer.tar"]);
        let layer: String = layer.as_ref().iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(config["rootfs"]["diff_ids"][0], format!("sha256:{layer}"));
        let manifest: serde_json::Value = serde_json::from_slice(&files["manifest.json"])?;
        assert_eq!(manifest[0]["RepoTags"], json!(["localhost/x:1", "localhost/x:2"]));
        Ok(())
    }
}
