//! The agents that the inputs describe: for each architecture a group of equal agents, each with its own volume.

use super::Spec;
use super::platform::Platform;

/// All agents that the inputs describe.
#[derive(Debug, Clone)]
pub struct Agents {
    /// Their common configuration; its name is the input `name`.
    pub spec: Spec,
    /// Empty: one group, for the architecture of the runner.
    pub platforms: Vec<Platform>,
    /// The number of agents for each architecture.
    pub number: u32,
}

/// The agents of one architecture. One of them serves a job.
#[derive(Debug, Clone)]
pub struct Group {
    /// The platforms for which they build; empty if the input `platforms` is.
    pub platforms: Vec<Platform>,
    pub agents: Vec<Spec>,
}

impl Agents {
    /// Returns the groups, in the order of the input `platforms`.
    pub fn groups(&self) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        if self.platforms.is_empty() {
            groups.push(self.group(None, vec![]));
        }
        for platform in &self.platforms {
            let of_arch = groups
                .iter_mut()
                .find(|g| g.platforms.iter().any(|p| p.arch == platform.arch));
            match of_arch {
                Some(group) => group.platforms.push(platform.clone()),
                None => groups.push(self.group(Some(&platform.arch), vec![platform.clone()])),
            }
        }
        groups
    }

    /// Returns all agents.
    pub fn all(&self) -> Vec<Spec> {
        self.groups().into_iter().flat_map(|group| group.agents).collect()
    }

    fn group(&self, arch: Option<&str>, platforms: Vec<Platform>) -> Group {
        let stem = match arch {
            Some(arch) => format!("{}-{arch}", self.spec.name),
            None => self.spec.name.clone(),
        };
        let agent = |number| Spec {
            // The first has no number: it keeps its name, and so its cache, when a second agent is added.
            name: if number == 1 {
                stem.clone()
            } else {
                format!("{stem}-{number}")
            },
            instance: self.spec.name.clone(),
            arch: arch.map(str::to_owned),
            ..self.spec.clone()
        };
        Group {
            platforms,
            agents: (1..=self.number).map(agent).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(platforms: &[&str], number: u32) -> Vec<Vec<String>> {
        let agents = Agents {
            spec: Spec {
                name: "agent".into(),
                ..Spec::example()
            },
            platforms: platforms.iter().filter_map(|p| Platform::parse(p)).collect(),
            number,
        };
        let names = |group: Group| group.agents.into_iter().map(|a| a.name).collect();
        agents.groups().into_iter().map(names).collect()
    }

    #[test]
    fn agents_are_named_by_architecture_and_number() {
        assert_eq!(names(&[], 1), [["agent"]]);
        assert_eq!(names(&[], 3), [["agent", "agent-2", "agent-3"]]);
        assert_eq!(
            names(&["linux/amd64", "linux/arm64"], 2),
            [["agent-amd64", "agent-amd64-2"], ["agent-arm64", "agent-arm64-2"]]
        );
        // One agent for both variants, which differ in the build and not in the node.
        assert_eq!(names(&["linux/amd64", "linux/amd64/v3"], 1), [["agent-amd64"]]);
    }
}
