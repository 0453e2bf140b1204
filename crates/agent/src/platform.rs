//! Platforms in Docker's notation, `linux/arm64` or `linux/arm/v7`.

use std::fmt;

/// The architectures for which BuildKit's image is published. Go, Kubernetes and Docker use the same names.
pub const ARCHITECTURES: [&str; 6] = ["amd64", "arm64", "arm", "ppc64le", "riscv64", "s390x"];

/// A platform of Linux.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    pub arch: String,
    pub variant: Option<String>,
}

impl Platform {
    /// Parses a platform; `None` if it is not one of Linux, because agents run on Linux only.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        let (os, arch, variant) = (parts.next()?, parts.next()?, parts.next());
        let is_variant_valid = variant.is_none_or(|v| {
            let number = v.strip_prefix('v');
            number.is_some_and(|n| !n.is_empty() && n.chars().all(|c| c.is_ascii_digit()))
        });
        let valid =
            os == "linux" && ARCHITECTURES.contains(&arch) && is_variant_valid && parts.next().is_none();
        valid.then(|| Self {
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
    fn platforms_follow_dockers_notation() {
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
