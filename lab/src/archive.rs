//! Writes container images in the OCI image layout from files, without a container engine.
//! <https://github.com/opencontainers/image-spec/blob/main/image-layout.md>

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use ring::digest::{Context, SHA256, digest};
use serde_json::{Value, json};

use crate::architecture::Architecture;

/// An image with one layer.
#[derive(Debug)]
pub(crate) struct Image<'a> {
    /// The references under which it is imported.
    pub tags: &'a [&'a str],
    pub architecture: Architecture,
    pub entrypoint: &'a [&'a str],
    pub cmd: &'a [&'a str],
}

pub(crate) const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

impl Image<'_> {
    /// Writes the archive. `fill` adds the files to the layer.
    pub(crate) fn write(&self, archive: &Path, fill: impl FnOnce(&mut Layer) -> Result<()>) -> Result<()> {
        self.write_with(archive, json!({"Env": [PATH]}), fill)
    }

    /// Writes the archive with settings of the image's configuration, such as its user.
    pub(crate) fn write_with(
        &self,
        archive: &Path,
        settings: Value,
        fill: impl FnOnce(&mut Layer) -> Result<()>,
    ) -> Result<()> {
        let mut archive = Archive::create(archive)?;
        let image = archive.add(self, settings, fill)?;
        archive.finish(&image, self.tags)
    }
}

/// An archive that is being written. Its blobs are identified by descriptors.
pub(crate) struct Archive {
    tar: tar::Builder<File>,
    layer: PathBuf,
}

impl Archive {
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("could not create {}", path.display()))?;
        let mut tar = tar::Builder::new(file);
        append(
            &mut tar,
            "oci-layout",
            br#"{"imageLayoutVersion": "1.0.0"}"#,
            0o644,
        )?;
        Ok(Self {
            tar,
            layer: path.with_extension("layer"),
        })
    }

    pub(crate) fn add(
        &mut self,
        image: &Image<'_>,
        mut settings: Value,
        fill: impl FnOnce(&mut Layer) -> Result<()>,
    ) -> Result<Value> {
        let mut layer = Layer::create(&self.layer)?;
        fill(&mut layer)?;
        let digest = layer.finish()?;
        self.tar.append_path_with_name(&self.layer, blob(&digest))?;
        let size = std::fs::metadata(&self.layer)?.len();
        std::fs::remove_file(&self.layer)?;

        let platform = json!({"architecture": image.architecture.name(), "os": "linux"});
        let mut config = platform.clone();
        settings["Entrypoint"] = json!(image.entrypoint);
        settings["Cmd"] = json!(image.cmd);
        config["config"] = settings;
        config["rootfs"] = json!({"type": "layers", "diff_ids": [digest]});
        let config = self.json(CONFIG, &config)?;
        let layer = json!({"mediaType": LAYER, "digest": digest, "size": size});
        let manifest =
            json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
        let mut descriptor = self.json(MANIFEST, &manifest)?;
        descriptor["platform"] = platform;
        Ok(descriptor)
    }

    /// Adds an image for several platforms, made of images for one platform each.
    pub(crate) fn add_index(&mut self, images: &[Value]) -> Result<Value> {
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": images});
        self.json(INDEX, &index)
    }

    /// Finishes the archive. `image` is imported under each of the references.
    pub(crate) fn finish(mut self, image: &Value, references: &[&str]) -> Result<()> {
        let named = |reference: &&str| {
            let mut image = image.clone();
            image["annotations"] = json!({"io.containerd.image.name": reference});
            image
        };
        let named: Vec<Value> = references.iter().map(named).collect();
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": named});
        append(&mut self.tar, "index.json", index.to_string().as_bytes(), 0o644)?;
        self.tar.into_inner()?.sync_all()?;
        Ok(())
    }

    /// Adds a blob and returns its descriptor.
    fn json(&mut self, media_type: &str, value: &Value) -> Result<Value> {
        let bytes = value.to_string().into_bytes();
        let digest = name(digest(&SHA256, &bytes).as_ref());
        append(&mut self.tar, &blob(&digest), &bytes, 0o644)?;
        Ok(json!({"mediaType": media_type, "digest": digest, "size": bytes.len()}))
    }
}

fn name(sha256: &[u8]) -> String {
    let hex: String = sha256.iter().map(|b| format!("{b:02x}")).collect();
    format!("sha256:{hex}")
}

fn blob(digest: &str) -> String {
    format!("blobs/{}", digest.replace(':', "/"))
}

/// A layer that is being written. Paths are relative to the image's root; parents are added first.
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

    /// Adds directories of a user, whose group has the same number.
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

    /// Adds a program of this machine.
    pub(crate) fn program(&mut self, path: &str, from: &Path) -> Result<()> {
        let content = std::fs::read(from).with_context(|| format!("could not read {}", from.display()))?;
        append(&mut self.tar, path, &content, 0o755)
    }

    /// Adds a program with a file capability, by its number in linux/capability.h.
    pub(crate) fn capable(&mut self, path: &str, from: &Path, capability: u32) -> Result<()> {
        // vfs_cap_data: the revision with the flag "effective", then the permitted and the inheritable set, twice.
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
        Ok(name(hash.as_ref()))
    }
}

fn append(tar: &mut tar::Builder<impl Write>, path: &str, content: &[u8], mode: u32) -> Result<()> {
    let mut header = header(tar::EntryType::Regular, content.len() as u64, mode);
    tar.append_data(&mut header, path, content)?;
    Ok(())
}

/// Returns a header with a fixed owner and time, so that the same files give the same image.
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

    fn files(archive: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
        let mut files = BTreeMap::new();
        for entry in tar::Archive::new(File::open(archive)?).entries()? {
            let mut entry = entry?;
            let name = entry.path()?.display().to_string();
            let mut content = Vec::new();
            entry.read_to_end(&mut content)?;
            files.insert(name, content);
        }
        Ok(files)
    }

    #[test]
    fn blobs_are_named_by_their_digest() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("image.tar");
        let mut archive = Archive::create(&path)?;
        let mut images = Vec::new();
        for architecture in [Architecture::Amd64, Architecture::Arm64] {
            let image = Image {
                tags: &[],
                architecture,
                entrypoint: &["/x"],
                cmd: &[],
            };
            images.push(archive.add(&image, json!({}), |layer| {
                layer.dirs(&["etc"])?;
                layer.text("etc/architecture", architecture.name())
            })?);
        }
        let index = archive.add_index(&images)?;
        archive.finish(&index, &["localhost/x:1", "localhost/x:2"])?;

        let files = files(&path)?;
        for (name, content) in files.iter().filter(|(name, _)| name.starts_with("blobs/")) {
            assert_eq!(*name, blob(&super::name(digest(&SHA256, content).as_ref())));
        }
        let read = |descriptor: &Value| -> Result<Value> {
            let digest = descriptor["digest"].as_str().context("no digest")?;
            let content = files.get(&blob(digest)).context("no such blob")?;
            assert_eq!(descriptor["size"], content.len());
            Ok(serde_json::from_slice(content)?)
        };
        let root: Value = serde_json::from_slice(&files["index.json"])?;
        let reference = |n: usize| &root["manifests"][n]["annotations"]["io.containerd.image.name"];
        assert_eq!(
            (reference(0), reference(1)),
            (&json!("localhost/x:1"), &json!("localhost/x:2"))
        );
        let index = read(&root["manifests"][0])?;
        let arm64 = &index["manifests"][1];
        assert_eq!(arm64["platform"]["architecture"], "arm64");
        let manifest = read(arm64)?;
        let config = read(&manifest["config"])?;
        assert_eq!(config["architecture"], "arm64");
        let layer = &manifest["layers"][0]["digest"];
        assert_eq!(config["rootfs"]["diff_ids"][0], *layer);
        assert!(files.contains_key(&blob(layer.as_str().context("no digest")?)));
        Ok(())
    }
}
