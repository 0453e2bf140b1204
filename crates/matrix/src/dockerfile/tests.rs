//! Parses Dockerfiles and compares what they read.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

mod errors;
mod instructions;
mod stages;
mod variables;

/// The Dockerfile and the parameters of a test.
#[derive(Default)]
struct Case<'a> {
    text: &'a str,
    stage: Option<&'a str>,
    args: &'a [(&'a str, &'a str)],
    contexts: &'a [&'a str],
    platforms: &'a [&'a str],
}

impl Case<'_> {
    fn reads(&self) -> Result<Vec<ContextRead>, DockerfileError> {
        let args: BTreeMap<String, String> = self
            .args
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect();
        let contexts: BTreeSet<String> = self.contexts.iter().map(|name| (*name).into()).collect();
        let platforms: Vec<String> = self.platforms.iter().map(|name| (*name).into()).collect();
        let params = BuildParams {
            stage: self.stage,
            args: &args,
            contexts: &contexts,
            platforms: &platforms,
        };
        context_reads(self.text, &params)
    }

    /// Formats one line per read: the instruction's line, the context, and its sources.
    fn formatted(&self) -> String {
        match self.reads() {
            Ok(reads) => reads.iter().map(format_read).collect::<Vec<_>>().join("\n"),
            Err(error) => error.to_string(),
        }
    }
}

fn format_read(read: &ContextRead) -> String {
    let context = match &read.context {
        ContextName::Main => "context",
        ContextName::Named(name) => name,
    };
    let scope = match &read.scope {
        Scope::All(reason) => format!("all: {reason}"),
        Scope::Paths(sources) => sources.to_string(),
    };
    format!("{} {context} {scope}", read.line)
}

/// Returns what a Dockerfile with one stage of these instructions reads.
fn of(instructions: &str) -> String {
    Case {
        text: &format!("FROM scratch\n{instructions}"),
        ..Case::default()
    }
    .formatted()
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_rejected(
        lines in prop::collection::vec(
            prop_oneof![
                "(FROM|COPY|ADD|RUN|ARG|ENV|ONBUILD COPY)( [a-c$]| --[a-z]{1,7}=[a-c,=]{0,9}| <<A|[${}:#%/'\"\\\\\\[*]){0,6}",
                "FROM [a-c] AS [a-c]",
                "(A|# [a-z]=.|\\PC*)",
            ],
            0..8,
        ),
    ) {
        let text = lines.join("\n");
        let case = Case { text: &text, contexts: &["b", "c"], ..Case::default() };
        if let Err(error) = case.reads() {
            prop_assert!(error.line >= 1 && error.line <= lines.len().max(1), "{error}");
        }
    }
}
