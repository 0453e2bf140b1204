//! Validates the inputs that select the buildx of a job or a machine.

use super::validation::ValidationErrors;
use crate::buildx::BuildxVersion;
use crate::buildx::release::{self, Mirror, Release};
use crate::cli::ConnectArgs;
use crate::known_issues::parse_version;

/// The version of `runner`, which always installs a recent enough one.
pub(super) const DEFAULT_VERSION: &str = "auto";

/// The validated inputs that select buildx.
#[derive(Debug)]
pub struct BuildxInputs {
    pub version: BuildxVersion,
    pub mirror: Option<Mirror>,
}

/// Validates the flags that select buildx.
pub(super) fn check(args: &ConnectArgs, errors: &mut ValidationErrors) -> Option<BuildxInputs> {
    let (url, sha256) = (args.buildx_url.as_deref(), args.buildx_sha256.as_deref());
    if let Some(url) = url {
        check_url(url, errors);
    }
    if let Some(sha256) = sha256 {
        let is_checksum = sha256.len() == 64 && sha256.chars().all(|c| c.is_ascii_hexdigit());
        let allowed = "must be a SHA-256 checksum of 64 hexadecimal digits, as sha256sum prints it";
        errors.check(is_checksum, "buildx-sha256", sha256, allowed);
    }
    let input = args.buildx_version.as_str();
    let version = match input {
        "auto" => {
            if let (None, Some(sha256)) = (url, sha256) {
                errors.add("buildx-sha256", sha256, "requires `buildx-url`");
            }
            BuildxVersion::Auto
        }
        "system" => {
            for (name, value) in [("buildx-url", url), ("buildx-sha256", sha256)] {
                if let Some(value) = value {
                    errors.add(name, value, "cannot be used with `buildx-version: system`");
                }
            }
            BuildxVersion::System
        }
        other => exact(other, sha256, errors)?,
    };
    let mirror = url.map(|url| match sha256 {
        Some(sha256) => Mirror::File {
            url: url.to_owned(),
            sha256: sha256.to_owned(),
        },
        None => Mirror::Releases(url.to_owned()),
    });
    Some(BuildxInputs { version, mirror })
}

/// Parses a version. Only the pinned one has a checksum of its own.
fn exact(input: &str, sha256: Option<&str>, errors: &mut ValidationErrors) -> Option<BuildxVersion> {
    let is_number = |c: char| c.is_ascii_digit() || c == '.' || c == 'v';
    let Some(version) = parse_version(input).filter(|_| input.chars().all(is_number)) else {
        let allowed = "must be auto, system, or the version of a release such as 0.37.1";
        errors.add("buildx-version", input, allowed);
        return None;
    };
    let release = match sha256 {
        Some(sha256) => Release::Other {
            version,
            sha256: sha256.to_owned(),
        },
        None if version == release::VERSION => Release::Pinned,
        None => {
            errors.add(
                "buildx-version",
                input,
                "requires `buildx-sha256`, the checksum of that release for the runner's architecture",
            );
            return None;
        }
    };
    Some(BuildxVersion::Exact { version, release })
}

/// Validates the URL of a mirror or a file.
fn check_url(url: &str, errors: &mut ValidationErrors) {
    let uri: Option<http::Uri> = url.parse().ok();
    let has_credentials = |uri: &http::Uri| uri.authority().is_some_and(|a| a.as_str().contains('@'));
    if uri.as_ref().is_some_and(has_credentials) {
        // The value is not shown, because it may contain a password.
        errors.0.push(
            "`buildx-url`: must not contain credentials, which all users of the machine could read: use a mirror without \
             authentication"
                .into(),
        );
    }
    let is_url =
        uri.is_some_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some());
    let allowed = "must be a URL such as https://mirror.example/buildx";
    errors.check(is_url, "buildx-url", url, allowed);
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn read(flags: &[&str]) -> Result<BuildxInputs, String> {
        let line = ["remote-buildkit", "connect"].iter().chain(flags);
        let Command::Connect(args) = Cli::parse_from(line).command else {
            panic!("not connect");
        };
        let mut errors = ValidationErrors::default();
        let inputs = check(&args, &mut errors);
        errors.finish(inputs).map_err(|problem| problem.what)
    }

    #[test]
    fn versions_and_their_checksums() {
        let sum = "a".repeat(64);
        let sha256 = format!("--buildx-sha256={sum}");
        let version = |flags: &[&str]| read(flags).expect("valid").version;
        assert_eq!(version(&[]), BuildxVersion::Auto);
        assert_eq!(version(&["--buildx-version=system"]), BuildxVersion::System);
        let pinned = release::tag(release::VERSION);
        for input in [pinned.as_str(), pinned.trim_start_matches('v')] {
            assert_eq!(
                version(&["--buildx-version", input]),
                BuildxVersion::Exact {
                    version: release::VERSION,
                    release: Release::Pinned
                }
            );
        }
        let other = read(&["--buildx-version=0.30.1", &sha256]).expect("valid");
        assert_eq!(
            other.version,
            BuildxVersion::Exact {
                version: [0, 30, 1],
                release: Release::Other {
                    version: [0, 30, 1],
                    sha256: sum.clone()
                }
            }
        );
        assert_eq!(other.mirror, None);
        let file = read(&["--buildx-url=http://m/b", &sha256]).expect("valid");
        assert_eq!(
            file.mirror,
            Some(Mirror::File {
                url: "http://m/b".into(),
                sha256: sum.clone()
            })
        );

        for (flags, error) in [
            (
                vec!["--buildx-version=0.30.1"],
                "`buildx-version: 0.30.1`: requires `buildx-sha256`",
            ),
            (
                vec!["--buildx-version=latest"],
                "`buildx-version: latest`: must be auto, system, or",
            ),
            (vec!["--buildx-version=0.38.0-rc1"], "must be auto, system, or"),
            (
                vec!["--buildx-version=system", "--buildx-url=http://m/b"],
                "cannot be used with `buildx-version: system`",
            ),
            (vec![&sha256], "requires `buildx-url`"),
        ] {
            let text = read(&flags).expect_err("invalid");
            assert!(text.contains(error), "{flags:?}: {text}");
        }
    }
}
