//! The command `manifests`: prints the objects that `connect` would apply, for deployments by GitOps.

use serde_json::Value;

use crate::agent::manifests::{self, rbac};
use crate::cli::{ManifestFormat, ManifestsArgs};
use crate::{inputs, report};

pub fn run(args: &ManifestsArgs) -> anyhow::Result<()> {
    let agents = inputs::manifests(args)?;
    let mut objects = manifests::objects(&agents.all())?;
    if args.rbac {
        objects.extend(rbac::roles(&agents.spec.namespace)?);
    }
    report::print_raw(serialize(&objects, args.output)?.trim_end())
}

fn serialize(objects: &[Value], format: ManifestFormat) -> anyhow::Result<String> {
    match format {
        ManifestFormat::Yaml => manifests::yaml(objects),
        ManifestFormat::Json => Ok(manifests::json(objects)),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::agent::DEFAULT_NAMESPACE;
    use crate::cli::{Cli, Command};

    #[test]
    fn json_list_has_the_objects_of_the_yaml_documents() {
        let line = [
            "remote-buildkit",
            "manifests",
            "--platforms=linux/amd64,linux/arm64",
        ];
        let Command::Manifests(args) = Cli::parse_from(line).command else {
            panic!("not manifests");
        };
        assert_eq!(args.output, ManifestFormat::Yaml);
        let agents = inputs::manifests(&args).expect("valid").all();
        let mut objects = manifests::objects(&agents).expect("objects");
        objects.extend(rbac::roles(DEFAULT_NAMESPACE).expect("Roles"));
        let text = |format| serialize(&objects, format).expect("text");
        let json: Value = serde_json::from_str(&text(ManifestFormat::Json)).expect("JSON");
        let yaml: Vec<Value> = text(ManifestFormat::Yaml)
            .split("---\n")
            .map(|document| serde_saphyr::from_str(document).expect("YAML"))
            .collect();
        assert_eq!(
            json,
            serde_json::json!({ "apiVersion": "v1", "kind": "List", "items": yaml })
        );
        let kinds: Vec<&str> = yaml.iter().filter_map(|object| object["kind"].as_str()).collect();
        let agent = ["ConfigMap", "PersistentVolumeClaim", "Deployment"];
        assert_eq!(kinds, [&agent[..], &agent, &["Role", "Role"]].concat());
    }
}
