//! Dockerfiles, and what is read.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

mod faults;
mod instructions;
mod stages;
mod variables;

/// What a test asks for: the Dockerfile, and the build.
#[derive(Default)]
struct Case<'a> {
    text: &'a str,
    stage: Option<&'a str>,
    args: &'a [(&'a str, &'a str)],
    contexts: &'a [&'a str],
    platforms: &'a [&'a str],
}

impl Case<'_> {
    fn reads(&self) -> Result<Vec<Read>, SyntaxFault> {
        let args: BTreeMap<String, String> = self
            .args
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect();
        let contexts: BTreeSet<String> = self.contexts.iter().map(|name| (*name).into()).collect();
        let platforms: Vec<String> = self.platforms.iter().map(|name| (*name).into()).collect();
        let build = Build {
            stage: self.stage,
            args: &args,
            contexts: &contexts,
            platforms: &platforms,
        };
        reads(self.text, &build)
    }

    /// A line for each read: the instruction's line, the context, and its sources.
    fn shown(&self) -> String {
        match self.reads() {
            Ok(reads) => reads.iter().map(shown).collect::<Vec<_>>().join("\n"),
            Err(fault) => fault.to_string(),
        }
    }
}

fn shown(read: &Read) -> String {
    let from = match &read.from {
        Source::Context => "context",
        Source::Named(name) => name,
    };
    let what = match &read.what {
        What::All(why) => format!("all: {why}"),
        What::Paths(sources) => sources.to_string(),
    };
    format!("{} {from} {what}", read.line)
}

/// What a single-stage Dockerfile of these instructions reads.
fn of(instructions: &str) -> String {
    Case {
        text: &format!("FROM scratch\n{instructions}"),
        ..Case::default()
    }
    .shown()
}

proptest! {
    #[test]
    fn whatever_is_written_is_read_or_refused(
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
        if let Err(fault) = case.reads() {
            prop_assert!(fault.line >= 1 && fault.line <= lines.len().max(1), "{fault}");
        }
    }
}
