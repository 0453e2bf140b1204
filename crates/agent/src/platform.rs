//! Platforms as docker writes them, `linux/arm64` or `linux/arm/v7`.

use std::fmt;

/// Architectures of nodes that BuildKit's image is published for, as Go, Kubernetes and docker name them alike.
pub const ARCHITECTURES: [&str; 6] = ["amd64", "arm64", "arm", "ppc64le", "riscv64", "s390x"];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    pub arch: String,
    pub variant: Option<String>,
}

impl Platform {
    /// Linux only: BuildKit's agents are.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        let (os, arch, variant) = (parts.next()?, parts.next()?, parts.next());
        let variant_ok = variant.is_none_or(|v| {
            let number = v.strip_prefix('v');
            number.is_some_and(|n| !n.is_empty() && n.chars().all(|c| c.is_ascii_digit()))
        });
        let ok = os == "linux" && ARCHITECTURES.contains(&arch) && variant_ok && parts.next().is_none();
        ok.then(|| Self {
            arch: arch.to_owned(),
            variant: variant.map(str::to_owned),
        })
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "linux/{}", self.arch)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_by_dockers_rules() {
        for text in ["linux/amd64", "linux/arm64", "linux/arm/v7", "linux/amd64/v3"] {
            assert_eq!(
                Platform::parse(text).map(|p| p.to_string()).as_deref(),
                Some(text)
            );
        }
        for text in [
            "",
            "linux",
            "amd64",
            "windows/amd64",
            "linux/x86_64",
            "linux/arm/7",
            "linux/arm/v",
            "linux/arm/v7/x",
            "linux/amd64/",
        ] {
            assert_eq!(Platform::parse(text), None, "{text}");
        }
    }
}
