//! The words for settings in messages: inputs in a job, flags on a command line.
//!
//! A message names an input in backticks, with or without a value: `` `deploy` `` or `` `deploy: always` ``. Flags that are
//! not inputs of any action are written as flags. Texts of servers and parsers, which messages quote, put their own names
//! in backticks, too: these stay as they are.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::LazyLock;

use clap::CommandFactory as _;

use super::Cli;
use crate::env;

/// The names of all flags, without dashes.
static FLAGS: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let command = Cli::command();
    let flags = command.get_subcommands().flat_map(clap::Command::get_arguments);
    let names = flags.filter_map(|flag| flag.get_long().map(str::to_owned));
    names.collect()
});

/// Words before an input in backticks, and the words that replace them before a flag.
const NOUNS: [(&str, &str); 3] = [
    ("inputs `--", "flags `--"),
    ("input `--", "flag `--"),
    ("input is `--", "flag is `--"),
];

/// Words before a name in backticks that is not an input: an output of an action, a key of a file, or the name of a
/// field in an error of serde ("missing field `name`") or of the API server ("`selector` does not match template
/// `labels`").
const OTHER_NAMES: [&str; 10] = [
    "output",
    "outputs",
    "field",
    "fields",
    "key",
    "variant",
    "expected",
    "template",
    "label",
    "annotation",
];

/// Returns the text as its reader calls the settings: inputs in a job, flags on a command line.
pub fn for_reader(text: &str) -> Cow<'_, str> {
    if env::in_job() {
        text.into()
    } else {
        inputs_as_flags(text)
    }
}

/// Returns the text with the inputs in backticks written as flags: `` `deploy: always` `` becomes `` `--deploy=always` ``.
pub fn inputs_as_flags(text: &str) -> Cow<'_, str> {
    if !text.contains('`') {
        return text.into();
    }
    // An unpaired backtick in a quoted text ends with its line.
    let mut replaced: String = text.split_inclusive('\n').map(line_with_flags).collect();
    for (noun_of_input, noun_of_flag) in NOUNS {
        replaced = replaced.replace(noun_of_input, noun_of_flag);
    }
    replaced.into()
}

fn line_with_flags(line: &str) -> String {
    let mut replaced = String::new();
    for (number, part) in line.split('`').enumerate() {
        let is_code = number % 2 == 1;
        let before = replaced.strip_suffix(" `").unwrap_or_default();
        let word = before
            .rsplit(|c: char| !c.is_alphabetic())
            .next()
            .unwrap_or_default();
        match as_flag(part).filter(|_| is_code && !OTHER_NAMES.contains(&word)) {
            Some(flag) => replaced += &flag,
            None => replaced += part,
        }
        replaced.push('`');
    }
    replaced.pop();
    replaced
}

/// Returns the flag for an input, or for an input with its value. `None` if there is no flag of this name.
fn as_flag(code: &str) -> Option<String> {
    let (name, value) = code.split_once(':').unwrap_or((code, ""));
    FLAGS
        .contains(name)
        .then(|| match value.strip_prefix(' ').unwrap_or(value) {
            "" => format!("--{name}"),
            value => format!("--{name}={value}"),
        })
}

#[cfg(test)]
mod tests {
    use super::super::action_inputs::{ACTIONS, inputs};
    use super::*;

    #[test]
    fn inputs_become_flags_on_a_command_line() {
        for (text, flags) in [
            ("Set `deploy: always`.", "Set `--deploy=always`."),
            ("`storage: 50 Gi`: must be", "`--storage=50 Gi`: must be"),
            (
                "see the inputs `cluster` and `region`",
                "see the flags `--cluster` and `--region`",
            ),
            ("the input is `storage: 50Gi`", "the flag is `--storage=50Gi`"),
            ("`cluster`: set it", "`--cluster`: set it"),
            (
                "Check `buildx-url`, and that `buildx-sha256` is",
                "Check `--buildx-url`, and that `--buildx-sha256` is",
            ),
            (
                "run `docker buildx ls`, `spec: …`",
                "run `docker buildx ls`, `spec: …`",
            ),
            ("the output `targets` lists", "the output `targets` lists"),
            ("missing field `name`", "missing field `name`"),
            ("unknown key `storage`; the", "unknown key `storage`; the"),
            (
                "`selector` does not match template `labels`",
                "`selector` does not match template `labels`",
            ),
            ("it's 5` long.\nSet `image`.", "it's 5` long.\nSet `--image`."),
            (
                "- `patch: a\n  b`: must\n- `cpu: x`",
                "- `--patch=a\n  b`: must\n- `--cpu=x`",
            ),
            ("add `--yes`; set cluster", "add `--yes`; set cluster"),
            ("`storage", "`--storage"),
            ("", ""),
        ] {
            assert_eq!(inputs_as_flags(text), flags);
            assert_eq!(
                inputs_as_flags(flags),
                flags,
                "a second conversion changes nothing"
            );
        }
    }

    #[test]
    fn each_input_of_an_action_becomes_a_flag() {
        for name in ACTIONS.into_iter().flat_map(inputs) {
            let text = format!("Set the input `{name}`, or `{name}: x`.");
            let flags = format!("Set the flag `--{name}`, or `--{name}=x`.");
            assert_eq!(inputs_as_flags(&text), flags);
        }
    }
}
