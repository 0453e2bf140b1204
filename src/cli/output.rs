//! The format of a command's result.

use anyhow::Context as _;
use clap::Args;

/// The flags that select the format of a command's result.
#[derive(Debug, Args)]
pub struct OutputArgs {
    /// Format of the result. With json and yaml, standard output holds nothing else.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: OutputFormat,
    /// The same as `--output json`.
    #[arg(long, hide = true)]
    pub json: bool,
}

impl OutputArgs {
    /// Returns the selected format.
    pub fn format(&self) -> OutputFormat {
        let Self { output, json } = self;
        if *json { OutputFormat::Json } else { *output }
    }
}

/// The format of a command's result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum OutputFormat {
    /// For people
    #[default]
    Table,
    Json,
    Yaml,
}

/// The format of Kubernetes objects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ManifestFormat {
    #[default]
    Yaml,
    Json,
}

impl OutputFormat {
    /// Returns the value as JSON or YAML text. `None` for a table, which each command prints itself.
    pub fn serialize(self, value: &serde_json::Value) -> anyhow::Result<Option<String>> {
        Ok(match self {
            Self::Table => None,
            Self::Json => Some(format!("{value:#}")),
            Self::Yaml => Some(
                serde_saphyr::to_string(value)
                    .context("could not write YAML")?
                    .trim_end()
                    .to_owned(),
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_json_or_yaml() {
        let value = serde_json::json!([{"check": "buildx", "state": "ok"}]);
        let text = |format: OutputFormat| format.serialize(&value).expect("text");
        assert_eq!(text(OutputFormat::Table), None);
        assert!(text(OutputFormat::Json).is_some_and(|json| json.contains("\"check\": \"buildx\"")));
        assert_eq!(
            text(OutputFormat::Yaml).as_deref(),
            Some("- check: buildx\n  state: ok")
        );
    }
}
