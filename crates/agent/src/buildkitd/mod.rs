//! buildkitd.toml: generated from the size of the volume and the inputs, with the user's part merged over it.

mod custom;
mod gc;
mod mirrors;
mod schema;

use std::collections::BTreeMap;

use anyhow::Context;
use serde::Serialize;
use toml::Table;

use super::quantity::Bytes;
pub use custom::{ConfigError, ConfigErrors, CustomConfig};
pub use mirrors::{MirrorError, MirrorErrorKind, Mirrors};

/// The entitlements that BuildKit can grant to builds (solver/llbsolver/entitlements.go).
pub const ENTITLEMENTS: [&str; 3] = ["security.insecure", "network.host", DEVICE];

const DEVICE: &str = "device";

/// What the inputs configure of the daemon.
#[derive(Debug, Clone, Default)]
pub struct BuildkitdSettings {
    pub max_parallelism: Option<u32>,
    pub mirrors: Mirrors,
    /// Some of [`ENTITLEMENTS`].
    pub entitlements: Vec<String>,
    /// Overrides everything else.
    pub custom: Option<CustomConfig>,
}

/// The generated part of the file.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct BuildkitdConfig<'s> {
    root: &'s str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    insecure_entitlements: &'s [String],
    cdi: Cdi,
    worker: Worker,
    history: gc::History,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    registry: BTreeMap<&'s str, mirrors::RegistryTable>,
}

/// The Container Device Interface. Unless it is disabled, BuildKit grants `device` to every build, whether the build
/// requests it or not (cmd/buildkitd/main.go, `newController`).
#[derive(Debug, Serialize)]
struct Cdi {
    disabled: bool,
}

#[derive(Debug, Serialize)]
struct Worker {
    oci: Oci,
    containerd: Containerd,
}

#[derive(Debug, Serialize)]
struct Containerd {
    enabled: bool,
}

#[derive(Debug, Serialize)]
struct Oci {
    enabled: bool,
    gc: bool,
    #[serde(rename = "max-parallelism", skip_serializing_if = "Option::is_none")]
    max_parallelism: Option<u32>,
    gcpolicy: Vec<gc::GcRule>,
}

/// Returns the file, for a volume of this size that is mounted at `root`.
pub fn config(settings: &BuildkitdSettings, root: &str, volume: Bytes) -> anyhow::Result<String> {
    let BuildkitdSettings {
        max_parallelism,
        mirrors,
        entitlements,
        custom,
    } = settings;
    let mut table = Table::try_from(BuildkitdConfig {
        root,
        insecure_entitlements: entitlements,
        cdi: Cdi {
            disabled: !entitlements.iter().any(|e| e == DEVICE),
        },
        worker: Worker {
            oci: Oci {
                enabled: true,
                gc: true,
                max_parallelism: *max_parallelism,
                gcpolicy: gc::rules(volume),
            },
            containerd: Containerd { enabled: false },
        },
        history: gc::history(volume),
        registry: mirrors.registries(),
    })
    .context("writing buildkitd.toml")?;
    if let Some(custom) = custom {
        custom.merge_into(&mut table);
    }
    toml::to_string(&table).context("writing buildkitd.toml")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "/var/lib/buildkit";

    #[test]
    fn configuration_of_50_gib() {
        insta::assert_snapshot!(config(&BuildkitdSettings::default(), ROOT, Bytes(50 << 30)).expect("toml"));
    }

    #[test]
    fn configuration_of_2_gib_with_every_input() {
        let custom = "[worker.oci]\nmax-parallelism = 3\nlabels.team = 'a'\n\
                      [[worker.oci.gcpolicy]]\nmaxUsedSpace = '50%'\n\
                      [registry.'docker.io']\nca = ['/etc/ca.pem']\n[history]\nmaxEntries = 5\n";
        let settings = BuildkitdSettings {
            max_parallelism: Some(8),
            mirrors: Mirrors::parse("http://mirror.corp:5000").expect("a mirror"),
            entitlements: ENTITLEMENTS.map(Into::into).into(),
            custom: Some(CustomConfig::parse(custom).expect("valid")),
        };
        insta::assert_snapshot!(
            config(&settings, "/home/user/.local/share/buildkit", Bytes(2 << 30)).expect("toml")
        );
    }

    #[test]
    fn generated_keys_are_keys_of_buildkit() {
        let mut config: Table = config(&BuildkitdSettings::default(), ROOT, Bytes(50 << 30))
            .expect("toml")
            .parse()
            .expect("a table");
        config.remove("root");
        CustomConfig::parse(&config.to_string()).expect("all other keys are in the schema");
    }
}
