//! A repository on GitHub, and the subjects of its OIDC tokens.

/// A repository, as the trust policy names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    pub owner: String,
    pub name: String,
    pub ids: Option<RepositoryIds>,
}

/// The numbers that GitHub never gives to another owner or repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RepositoryIds {
    pub owner: u64,
    pub repository: u64,
}

/// Which jobs of the repositories can assume the role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All jobs that get an OIDC token.
    All,
    /// The jobs of one branch.
    Branch(String),
    /// The jobs of one deployment environment.
    Environment(String),
}

impl Repository {
    /// Parses `OWNER/NAME` or `OWNER@ID/NAME@ID`.
    pub fn parse(text: &str) -> Option<Self> {
        let (owner, name) = text.split_once('/')?;
        let (owner, owner_id) = with_id(owner)?;
        let (name, repository_id) = with_id(name)?;
        let ids = match (owner_id, repository_id) {
            (Some(owner), Some(repository)) => Some(RepositoryIds { owner, repository }),
            (None, None) => None,
            _ => return None,
        };
        let is_name = |text: &str, more: &str| {
            !text.is_empty()
                && text
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || more.contains(c))
        };
        // An underscore is in the names of managed users.
        let valid = is_name(owner, "-_") && is_name(name, "-_.");
        valid.then(|| Self {
            owner: owner.to_owned(),
            name: name.to_owned(),
            ids,
        })
    }

    /// Returns `OWNER/NAME`.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }

    /// Returns the subjects of the tokens: in the form with names, and in the immutable form, which repositories have that
    /// were created, renamed or transferred since 15 July 2026
    /// (<https://docs.github.com/actions/reference/security/oidc>).
    pub fn subjects(&self, scope: &Scope) -> Vec<String> {
        let Self { owner, name, ids } = self;
        let jobs = scope.suffix();
        let mut subjects = vec![format!("repo:{owner}/{name}:{jobs}")];
        if let Some(RepositoryIds {
            owner: owner_id,
            repository,
        }) = ids
        {
            subjects.push(format!("repo:{owner}@{owner_id}/{name}@{repository}:{jobs}"));
        }
        subjects
    }
}

/// Splits `NAME@ID`.
fn with_id(text: &str) -> Option<(&str, Option<u64>)> {
    match text.split_once('@') {
        None => Some((text, None)),
        Some((name, id)) if id.chars().all(|c| c.is_ascii_digit()) => Some((name, Some(id.parse().ok()?))),
        Some(_) => None,
    }
}

impl Scope {
    /// Returns the end of a subject.
    fn suffix(&self) -> String {
        match self {
            Self::All => "*".into(),
            Self::Branch(branch) => format!("ref:refs/heads/{branch}"),
            Self::Environment(environment) => format!("environment:{environment}"),
        }
    }
}

/// Returns whether a branch or an environment can be part of a policy. `*`, `?` and `$` are wildcards and variables there, and
/// GitHub encodes a colon.
pub fn is_scope_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_./#+=@".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_with_and_without_ids() {
        let parsed = Repository::parse("acme@1/shop.web@23").expect("valid");
        assert_eq!(parsed.full_name(), "acme/shop.web");
        let expected = RepositoryIds {
            owner: 1,
            repository: 23,
        };
        assert_eq!(parsed.ids, Some(expected));
        assert_eq!(Repository::parse("acme_x/shop").expect("valid").ids, None);
        for invalid in [
            "",
            "acme",
            "acme/",
            "/shop",
            "acme/*",
            "acme/sh?p",
            "acme@1/shop",
            "acme/shop@2",
            "acme@x/shop@2",
            "acme@/shop@",
            "a/b/c",
            "acme/${aws:x}",
            "acme/shop:*",
        ] {
            assert_eq!(Repository::parse(invalid), None, "{invalid}");
        }
    }

    #[test]
    fn subjects_in_both_forms() {
        let repository = Repository::parse("acme@1/shop@2").expect("valid");
        let subjects = |scope| repository.subjects(&scope).join(" ");
        assert_eq!(subjects(Scope::All), "repo:acme/shop:* repo:acme@1/shop@2:*");
        assert_eq!(
            subjects(Scope::Branch("main".into())),
            "repo:acme/shop:ref:refs/heads/main repo:acme@1/shop@2:ref:refs/heads/main"
        );
        assert_eq!(
            subjects(Scope::Environment("release".into())),
            "repo:acme/shop:environment:release repo:acme@1/shop@2:environment:release"
        );
        assert!(
            is_scope_name("release/1.x")
                && !is_scope_name("*")
                && !is_scope_name("a:b")
                && !is_scope_name("")
        );
    }
}
