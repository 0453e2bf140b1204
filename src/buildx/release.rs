//! The releases of buildx that `connect` and `runner` install if no recent enough one is installed.

use crate::download::DownloadSource;

/// The pinned version, which is installed by default. Its checksums are in `CHECKSUMS`. The doctor does not warn about this version.
pub const VERSION: [u64; 3] = [0, 37, 1];

/// The base URL of buildx's releases.
const RELEASES: &str = "https://github.com/docker/buildx/releases/download";

/// The SHA-256 checksum of `buildx-v0.37.1.linux-ARCHITECTURE` per architecture, from the release's checksums.txt.
const CHECKSUMS: [(&str, &str); 2] = [
    (
        "amd64",
        "9447199cdb435f25880548343c128a4b6650e8891ee598905d8d29d39a8e359b",
    ),
    (
        "arm64",
        "e5cc9fe3bbff5cbc91230981f7860e06076110730a2db997082652199042a1f2",
    ),
];

/// A release to install.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Release {
    /// The release of [`VERSION`].
    Pinned,
    /// Another release, with the checksum of its file for this machine's architecture.
    Other { version: [u64; 3], sha256: String },
}

/// A source for buildx other than GitHub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mirror {
    /// The base URL of a mirror with the same paths as GitHub's releases.
    Releases(String),
    /// A single file, whose buildx may have any version.
    File { url: String, sha256: String },
}

/// Returns a version as the tags of releases have it.
pub fn tag([major, minor, patch]: [u64; 3]) -> String {
    format!("v{major}.{minor}.{patch}")
}

/// Returns the file to download for an architecture. `architecture` has the name that Rust uses, such as `x86_64`.
pub fn source(
    architecture: &str,
    release: &Release,
    mirror: Option<&Mirror>,
) -> anyhow::Result<DownloadSource> {
    let remedy =
        "Check this machine's network access, or set `buildx-url` to a mirror. Nothing was installed.";
    let base = match mirror {
        Some(Mirror::File { url, sha256 }) => {
            return Ok(DownloadSource {
                name: "buildx".into(),
                url: url.clone(),
                sha256: sha256.clone(),
                remedy: "Check `buildx-url`, and that `buildx-sha256` is the checksum of that file. Nothing was installed.",
            });
        }
        Some(Mirror::Releases(base_url)) => base_url.trim_end_matches('/'),
        None => RELEASES,
    };
    let name = match architecture {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => {
            anyhow::bail!(
                "remote-buildkit has no checksum of a buildx release for the architecture {other}. Install buildx by hand"
            )
        }
    };
    let (version, sha256) = match release {
        Release::Other { version, sha256 } => (tag(*version), sha256.as_str()),
        Release::Pinned => {
            let mut checksums = CHECKSUMS.iter();
            let known = checksums.find(|(architecture, _)| *architecture == name);
            (tag(VERSION), known.unwrap_or(&CHECKSUMS[0]).1)
        }
    };
    Ok(DownloadSource {
        name: format!("buildx {version}"),
        url: format!("{base}/{version}/buildx-{version}.linux-{name}"),
        sha256: sha256.into(),
        remedy,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_has_version_and_architecture() {
        let amd64 = source("x86_64", &Release::Pinned, None).expect("known");
        assert_eq!(
            amd64.url,
            "https://github.com/docker/buildx/releases/download/v0.37.1/buildx-v0.37.1.linux-amd64"
        );
        let mirror = Mirror::Releases("http://mirror.example/buildx/".into());
        let arm64 = source("aarch64", &Release::Pinned, Some(&mirror)).expect("known");
        assert_eq!(
            arm64.url,
            "http://mirror.example/buildx/v0.37.1/buildx-v0.37.1.linux-arm64"
        );
        assert_ne!(arm64.sha256, amd64.sha256);
        for source in [&arm64, &amd64] {
            assert_eq!(source.sha256.len(), 64);
        }
        let other = Release::Other {
            version: [0, 38, 2],
            sha256: "11".into(),
        };
        let other = source("aarch64", &other, Some(&mirror)).expect("known");
        assert_eq!(
            (other.name.as_str(), other.url.as_str(), other.sha256.as_str()),
            (
                "buildx v0.38.2",
                "http://mirror.example/buildx/v0.38.2/buildx-v0.38.2.linux-arm64",
                "11"
            )
        );
        source("riscv64", &Release::Pinned, None).expect_err("no checksum");
        let file = Mirror::File {
            url: "http://mirror.example/x".into(),
            sha256: "00".into(),
        };
        let custom = source("riscv64", &Release::Pinned, Some(&file)).expect("any architecture");
        assert_eq!(
            (custom.url.as_str(), custom.sha256.as_str()),
            ("http://mirror.example/x", "00")
        );
    }
}
