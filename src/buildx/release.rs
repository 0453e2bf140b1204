//! The release of buildx that is installed where there is none that is good enough.

use crate::download::Source;

/// Of this version are the checksums below. It is of the first ones that the doctor has nothing to say about.
pub const VERSION: [u64; 3] = [0, 37, 1];

/// Where buildx's releases are.
const RELEASES: &str = "https://github.com/docker/buildx/releases/download";

/// SHA-256 of `buildx-v0.37.1.linux-ARCHITECTURE`, as the release's checksums.txt has it.
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

/// From where buildx is downloaded instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mirror {
    /// A folder with the releases in it, as GitHub has them.
    Folder(String),
    /// A file, of any version.
    File { url: String, sha256: String },
}

/// The release for an architecture, as Rust names it.
pub fn source(architecture: &str, mirror: Option<&Mirror>) -> anyhow::Result<Source> {
    let remedy =
        "Check what this machine may reach, or name a mirror with --buildx-url. Nothing was installed.";
    let [major, minor, patch] = VERSION;
    let version = format!("v{major}.{minor}.{patch}");
    let folder = match mirror {
        Some(Mirror::File { url, sha256 }) => {
            return Ok(Source {
                name: "buildx".into(),
                url: url.clone(),
                sha256: sha256.clone(),
                remedy: "Check --buildx-url, and that --buildx-sha256 is the checksum of what is there. Nothing was \
                         installed.",
            });
        }
        Some(Mirror::Folder(folder)) => folder.trim_end_matches('/'),
        None => RELEASES,
    };
    let name = match architecture {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => anyhow::bail!("no release of buildx is known here for {other}; install it yourself"),
    };
    let (_, sha256) = CHECKSUMS
        .iter()
        .find(|(of, _)| *of == name)
        .unwrap_or(&CHECKSUMS[0]);
    Ok(Source {
        name: format!("buildx {version}"),
        url: format!("{folder}/{version}/buildx-{version}.linux-{name}"),
        sha256: (*sha256).into(),
        remedy,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_a_file_of_its_version_and_architecture() {
        let amd64 = source("x86_64", None).expect("known");
        assert_eq!(
            amd64.url,
            "https://github.com/docker/buildx/releases/download/v0.37.1/buildx-v0.37.1.linux-amd64"
        );
        let mirror = Mirror::Folder("http://mirror.example/buildx/".into());
        let arm64 = source("aarch64", Some(&mirror)).expect("known");
        assert_eq!(
            arm64.url,
            "http://mirror.example/buildx/v0.37.1/buildx-v0.37.1.linux-arm64"
        );
        assert_ne!(arm64.sha256, amd64.sha256);
        for source in [&arm64, &amd64] {
            assert_eq!(source.sha256.len(), 64);
        }
        source("riscv64", None).expect_err("no checksum");
        let file = Mirror::File {
            url: "http://mirror.example/x".into(),
            sha256: "00".into(),
        };
        let own = source("riscv64", Some(&file)).expect("whatever it is");
        assert_eq!(
            (own.url.as_str(), own.sha256.as_str()),
            ("http://mirror.example/x", "00")
        );
    }
}
