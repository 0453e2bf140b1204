//! buildkitd.toml: what the volume and the inputs come to, and the user's own part merged over it.

mod custom;
mod gc;
mod mirrors;
mod schema;

use std::collections::BTreeMap;

use anyhow::Context;
use serde::Serialize;
use toml::Table;

use super::quantity::Bytes;
pub use custom::Custom;
pub use mirrors::Mirrors;

/// What BuildKit can be asked to let builds do (solver/llbsolver/entitlements.go).
pub const ENTITLEMENTS: [&str; 3] = ["security.insecure", "network.host", DEVICE];

const DEVICE: &str = "device";

/// What the inputs say of the daemon.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    pub max_parallelism: Option<u32>,
    pub mirrors: Mirrors,
    /// Of [`ENTITLEMENTS`].
    pub entitlements: Vec<String>,
    /// Has the last word.
    pub custom: Option<Custom>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Config<'s> {
    root: &'s str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    insecure_entitlements: &'s [String],
    cdi: Cdi,
    worker: Worker,
    history: gc::History,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    registry: BTreeMap<&'s str, mirrors::Registry>,
}

/// Where the Container Device Interface is not disabled, BuildKit grants `device` to every build, asked for or not
/// (cmd/buildkitd/main.go, `newController`).
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
    gcpolicy: Vec<gc::Rule>,
}

/// The file, for a volume of this size that is mounted at `root`.
pub fn config(settings: &Settings, root: &str, volume: Bytes) -> anyhow::Result<String> {
    let Settings {
        max_parallelism,
        mirrors,
        entitlements,
        custom,
    } = settings;
    let mut table = Table::try_from(Config {
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
        insta::assert_snapshot!(config(&Settings::default(), ROOT, Bytes(50 << 30)).expect("toml"));
    }

    #[test]
    fn configuration_of_2_gib_with_every_input() {
        let custom = "[worker.oci]\nmax-parallelism = 3\nlabels.team = 'a'\n\
                      [[worker.oci.gcpolicy]]\nmaxUsedSpace = '50%'\n\
                      [registry.'docker.io']\nca = ['/etc/ca.pem']\n[history]\nmaxEntries = 5\n";
        let settings = Settings {
            max_parallelism: Some(8),
            mirrors: Mirrors::parse("http://mirror.corp:5000").expect("a mirror"),
            entitlements: ENTITLEMENTS.map(Into::into).into(),
            custom: Some(Custom::parse(custom).expect("right")),
        };
        insta::assert_snapshot!(
            config(&settings, "/home/user/.local/share/buildkit", Bytes(2 << 30)).expect("toml")
        );
    }

    #[test]
    fn nothing_generated_is_unknown_to_buildkit() {
        let mut config: Table = config(&Settings::default(), ROOT, Bytes(50 << 30))
            .expect("toml")
            .parse()
            .expect("a table");
        config.remove("root");
        Custom::parse(&config.to_string()).expect("all else is in the schema");
    }
}
