//! ECR registries: their hosts, and the entries of the input `ecr`.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::secret::Secret;

/// The host of ECR's public registry.
pub const PUBLIC: &str = "public.ecr.aws";

/// The parts between account and region in the host of a private registry: standard, FIPS, dual-stack, and both
/// (docs.aws.amazon.com, "Amazon ECR endpoints and quotas").
const INFIXES: [&str; 4] = [".dkr.ecr.", ".dkr.ecr-fips.", ".dkr-ecr.", ".dkr-ecr-fips."];

/// The domains after the region.
const SUFFIXES: [&str; 5] = [
    ".amazonaws.com",
    ".amazonaws.com.cn",
    ".amazonaws.eu",
    ".on.aws",
    ".on.amazonwebservices.com.cn",
];

/// The registries for which one ECR password is valid: all private registries of a region, in every account, or the
/// public registry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Realm {
    Private { region: String },
    Public,
}

impl fmt::Display for Realm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Private { region } => write!(f, "ECR in {region}"),
            Self::Public => f.write_str("ECR's public registry"),
        }
    }
}

/// A registry, with its host as in an image reference.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Registry {
    pub host: String,
    pub realm: Realm,
}

impl Registry {
    /// Returns ECR's public registry.
    pub fn public() -> Self {
        Self {
            host: PUBLIC.into(),
            realm: Realm::Public,
        }
    }

    /// Returns the private registry of an account in a region.
    fn private(account: &str, region: &str) -> Self {
        let suffix = match region.split('-').next() {
            Some("cn") => ".amazonaws.com.cn",
            Some("eusc") => ".amazonaws.eu",
            _ => ".amazonaws.com",
        };
        Self {
            host: format!("{account}.dkr.ecr.{region}{suffix}"),
            realm: Realm::Private {
                region: region.into(),
            },
        }
    }

    /// Parses a host. Returns `None` if it is not an ECR registry.
    pub fn parse(host: &str) -> Option<Self> {
        if host == PUBLIC {
            return Some(Self::public());
        }
        let (account, rest) = INFIXES.iter().find_map(|infix| host.split_once(infix))?;
        let region = SUFFIXES.iter().find_map(|suffix| rest.strip_suffix(suffix))?;
        (is_account(account) && is_region(region)).then(|| Self {
            host: host.into(),
            realm: Realm::Private {
                region: region.into(),
            },
        })
    }
}

/// A registry login. ECR's logins are valid for 12 hours, even if the AWS keys expire earlier.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Login {
    pub user: String,
    pub password: Secret,
    pub expires: Timestamp,
}

/// One entry of the input `ecr`. A missing account or region is the caller's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EcrSelector {
    Private {
        account: Option<String>,
        region: Option<String>,
    },
    Registry(Registry),
}

impl EcrSelector {
    /// Parses an entry. Returns `None` if it is not valid.
    pub fn parse(entry: &str) -> Option<Self> {
        let private = |account: Option<&str>, region: Option<&str>| Self::Private {
            account: account.map(str::to_owned),
            region: region.map(str::to_owned),
        };
        match entry {
            "auto" => Some(private(None, None)),
            "public" => Some(Self::Registry(Registry::public())),
            account if is_account(account) => Some(private(Some(account), None)),
            region if is_region(region) => Some(private(None, Some(region))),
            other => match other.split_once('/') {
                Some((account, region)) if is_account(account) && is_region(region) => {
                    Some(private(Some(account), Some(region)))
                }
                Some(_) => None,
                None => Registry::parse(other).map(Self::Registry),
            },
        }
    }

    /// Returns whether the account of the caller must be known.
    pub fn needs_account(&self) -> bool {
        matches!(self, Self::Private { account: None, .. })
    }

    /// Returns the registry. `own` is the caller's account and region.
    pub fn registry(&self, own: (&str, &str)) -> Registry {
        match self {
            Self::Private { account, region } => Registry::private(
                account.as_deref().unwrap_or(own.0),
                region.as_deref().unwrap_or(own.1),
            ),
            Self::Registry(registry) => registry.clone(),
        }
    }
}

/// Returns whether a text is an AWS account ID.
fn is_account(text: &str) -> bool {
    text.len() == 12 && text.chars().all(|c| c.is_ascii_digit())
}

/// Returns whether a text has the form of an AWS region, such as `eu-west-1`.
pub fn is_region(text: &str) -> bool {
    let Some((name, number)) = text.rsplit_once('-') else {
        return false;
    };
    let word = |part: &str| part.len() >= 2 && part.chars().all(|c| c.is_ascii_lowercase());
    name.contains('-')
        && name.split('-').all(word)
        && !number.is_empty()
        && number.chars().all(|c| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ecr_hosts_and_others() {
        for (host, region) in [
            ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", "eu-west-1"),
            (
                "123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com",
                "us-gov-west-1",
            ),
            ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "cn-north-1"),
            (
                "123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu",
                "eusc-de-east-1",
            ),
            ("123456789012.dkr-ecr.eu-west-1.on.aws", "eu-west-1"),
        ] {
            let registry = Registry::parse(host).expect(host);
            assert_eq!(registry.host, host);
            let region = region.to_owned();
            assert_eq!(registry.realm, Realm::Private { region });
        }
        assert_eq!(Registry::parse(PUBLIC), Some(Registry::public()));
        for other in [
            "docker.io",
            "12345.dkr.ecr.eu-west-1.amazonaws.com",
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil.example",
            "123456789012.dkr.ecr.eu-west-1.evil.example",
            "123456789012.dkr.ecr.Frankfurt.amazonaws.com",
            "a.123456789012.dkr.ecr.eu-west-1.amazonaws.com",
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com:443",
            "",
        ] {
            assert_eq!(Registry::parse(other), None, "{other}");
        }
    }

    #[test]
    fn missing_parts_of_an_entry_are_the_callers_own() {
        let own = ("111111111111", "eu-west-1");
        for (entry, host) in [
            ("auto", "111111111111.dkr.ecr.eu-west-1.amazonaws.com"),
            ("222222222222", "222222222222.dkr.ecr.eu-west-1.amazonaws.com"),
            ("cn-north-1", "111111111111.dkr.ecr.cn-north-1.amazonaws.com.cn"),
            (
                "222222222222/us-east-1",
                "222222222222.dkr.ecr.us-east-1.amazonaws.com",
            ),
            ("public", PUBLIC),
            (PUBLIC, PUBLIC),
            (
                "222222222222.dkr.ecr-fips.us-east-1.amazonaws.com",
                "222222222222.dkr.ecr-fips.us-east-1.amazonaws.com",
            ),
        ] {
            let selector = EcrSelector::parse(entry).expect(entry);
            let registry = selector.registry(own);
            assert_eq!(registry.host, host, "{entry}");
            assert_eq!(Registry::parse(host), Some(registry));
            assert_eq!(selector.needs_account(), ["auto", "cn-north-1"].contains(&entry));
        }
        for bad in [
            "",
            "12345",
            "Frankfurt",
            "docker.io",
            "222222222222/x",
            "x/eu-west-1",
            "auto/auto",
        ] {
            assert_eq!(EcrSelector::parse(bad), None, "{bad}");
        }
    }
}
