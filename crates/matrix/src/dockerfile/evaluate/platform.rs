//! The predefined arguments for the platforms of the build and of the target (BuildKit's dockerfile2llb/platform.go and containerd/platforms).

use super::super::lexer::VariableValues;
use super::super::unresolved::UNRESOLVED;

const PARTS: [&str; 5] = ["PLATFORM", "OS", "OSVERSION", "ARCH", "VARIANT"];

/// Returns `TARGET…` for a platform such as `linux/arm/v7`, and `BUILD…`, whose values only the agent knows.
pub fn arguments(platform: Option<&str>) -> VariableValues {
    let target = match platform.and_then(parts) {
        Some(parts) => parts,
        None => PARTS.map(|_| UNRESOLVED.to_string()),
    };
    let build = PARTS.map(|_| UNRESOLVED.to_string());
    let named = |prefix: &'static str, values: [String; 5]| {
        PARTS
            .into_iter()
            .map(move |part| format!("{prefix}{part}"))
            .zip(values)
    };
    named("TARGET", target).chain(named("BUILD", build)).collect()
}

/// Returns the values in the order of `PARTS`; `None` for an incomplete platform, whose meaning depends on the machine.
fn parts(platform: &str) -> Option<[String; 5]> {
    let mut parts = platform.split('/');
    let (os, arch, variant) = (parts.next()?, parts.next()?, parts.next().unwrap_or_default());
    if parts.next().is_some() || os.contains(['(', ')']) {
        return None;
    }
    let os = match os.to_lowercase().as_str() {
        "macos" => "darwin".to_owned(),
        os => os.to_owned(),
    };
    let (arch, variant) = normalized(&arch.to_lowercase(), &variant.to_lowercase());
    let platform = [os.as_str(), &arch, &variant]
        .into_iter()
        .filter(|part| !part.is_empty());
    let platform = platform.collect::<Vec<_>>().join("/");
    Some([platform, os, String::new(), arch, variant])
}

/// Normalizes an architecture and its variant: `normalizeArch` in containerd/platforms/database.go.
fn normalized(arch: &str, variant: &str) -> (String, String) {
    let (arch, variant) = match (arch, variant) {
        ("i386", _) => ("386", ""),
        ("x86_64" | "x86-64" | "amd64", "v1") => ("amd64", ""),
        ("x86_64" | "x86-64", variant) => ("amd64", variant),
        ("aarch64" | "arm64", "8" | "v8" | "v8.0") => ("arm64", ""),
        ("aarch64" | "arm64", "9" | "9.0" | "v9.0") => ("arm64", "v9"),
        ("aarch64", variant) => ("arm64", variant),
        ("armhf", _) => ("arm", "v7"),
        ("armel", _) => ("arm", "v6"),
        ("arm", "" | "7") => ("arm", "v7"),
        ("arm", "5") => ("arm", "v5"),
        ("arm", "6") => ("arm", "v6"),
        ("arm", "8") => ("arm", "v8"),
        other => other,
    };
    (arch.to_owned(), variant.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platform_arguments() {
        for (platform, name, expected) in [
            (Some("linux/amd64"), "TARGETPLATFORM", "linux/amd64"),
            (Some("linux/amd64"), "TARGETARCH", "amd64"),
            (Some("linux/amd64"), "TARGETVARIANT", ""),
            (Some("linux/arm64/v8"), "TARGETPLATFORM", "linux/arm64"),
            (Some("linux/arm"), "TARGETPLATFORM", "linux/arm/v7"),
            (Some("linux/arm/v6"), "TARGETVARIANT", "v6"),
            (Some("linux/x86_64"), "TARGETARCH", "amd64"),
            (Some("arm64"), "TARGETARCH", "\u{ffff}"),
            (None, "TARGETOS", "\u{ffff}"),
            (Some("linux/amd64"), "BUILDARCH", "\u{ffff}"),
        ] {
            assert_eq!(
                arguments(platform).get(name).map(String::as_str),
                Some(expected),
                "{platform:?} {name}"
            );
        }
    }
}
