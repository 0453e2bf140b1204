//! Checks that the inputs are valid. Its row names the agents that they select.

use super::super::agents;
use super::super::check::{Check, CheckGroup};
use super::super::finding::Finding;
use crate::agent::Spec;
use crate::commands::agent_checks::cache_key;
use crate::inputs::{Deploy, Plan};

pub const CHECK: Check = Check {
    applies: |scope| scope.full,
    ..Check::new("inputs", CheckGroup::Runner)
};

/// Returns the finding for valid inputs. Invalid ones have an error of their own.
pub fn describe(plan: &Plan) -> Finding {
    let selected: Vec<Spec> = agents::selected(plan).into_iter().map(|(_, spec)| spec).collect();
    evaluate(&selected, plan.agents.all().len(), &cache_key(plan), plan.deploy)
}

/// Returns the finding for these agents, which the cache key selects from `number` agents.
pub fn evaluate(selected: &[Spec], number: usize, cache_key: &str, deploy: Deploy) -> Finding {
    let names: Vec<String> = selected
        .iter()
        .map(|spec| format!("{}/{}", spec.namespace, spec.name))
        .collect();
    let agents = match names.len() {
        1 => "agent",
        _ => "agents",
    };
    let others = if number > names.len() {
        format!(", selected from {number} agents by the cache key {cache_key:?}")
    } else {
        String::new()
    };
    let deploy = match deploy {
        Deploy::IfAbsent => "if-absent",
        Deploy::Always => "always",
        Deploy::Never => "never",
    };
    Finding::ok(format!(
        "{agents} {}{others}; `deploy: {deploy}`",
        names.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_row_names_the_agents_and_how_they_were_selected() {
        let spec = |name: &str| Spec {
            name: name.into(),
            namespace: "ci".into(),
            ..Spec::example()
        };
        assert_eq!(
            evaluate(&[spec("a")], 1, "acme/shop", Deploy::IfAbsent),
            Finding::ok("agent ci/a; `deploy: if-absent`")
        );
        assert_eq!(
            evaluate(
                &[spec("a-amd64-1"), spec("a-arm64-0")],
                4,
                "acme/shop",
                Deploy::Never
            ),
            Finding::ok(
                "agents ci/a-amd64-1, ci/a-arm64-0, selected from 4 agents by the cache key \"acme/shop\"; `deploy: never`"
            )
        );
    }
}
