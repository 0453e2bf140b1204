//! The agents of the inputs: for each architecture some that are alike, each with a volume of its own.

use super::Spec;
use super::platform::Platform;

/// All agents that the inputs speak of.
#[derive(Debug, Clone)]
pub struct Agents {
    /// What they have in common; its name is that of the inputs.
    pub spec: Spec,
    /// Empty: one architecture, whichever the nodes have.
    pub platforms: Vec<Platform>,
    /// For each architecture.
    pub number: u32,
}

/// Agents of one architecture, of which one serves a job.
#[derive(Debug, Clone)]
pub struct Group {
    /// What they are asked to build for; empty when nothing was said.
    pub platforms: Vec<Platform>,
    pub agents: Vec<Spec>,
}

impl Agents {
    /// In the order in which the inputs name the platforms.
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

    /// Every agent by itself.
    pub fn all(&self) -> Vec<Spec> {
        self.groups().into_iter().flat_map(|group| group.agents).collect()
    }

    fn group(&self, arch: Option<&str>, platforms: Vec<Platform>) -> Group {
        let stem = match arch {
            Some(arch) => format!("{}-{arch}", self.spec.name),
            None => self.spec.name.clone(),
        };
        let agent = |number| Spec {
            // The first has no number: when a second one is added, it keeps its name, and so its cache.
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
    fn names_of_agents() {
        assert_eq!(names(&[], 1), [["agent"]]);
        assert_eq!(names(&[], 3), [["agent", "agent-2", "agent-3"]]);
        assert_eq!(
            names(&["linux/amd64", "linux/arm64"], 2),
            [["agent-amd64", "agent-amd64-2"], ["agent-arm64", "agent-arm64-2"]]
        );
        // One agent for both variants: they differ in what a build sets, not in the node.
        assert_eq!(names(&["linux/amd64", "linux/amd64/v3"], 1), [["agent-amd64"]]);
    }
}
