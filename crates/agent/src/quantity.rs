//! Kubernetes quantities, in the notations that the inputs accept
//! (<https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>).

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

const SUFFIXES: [(&str, f64); 12] = [
    ("Ki", 1024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("Pi", 1_125_899_906_842_624.0),
    ("Ei", 1_152_921_504_606_846_976.0),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("P", 1e15),
    ("E", 1e18),
];

/// Parses a quantity of bytes; `None` if it is not one, or has more bytes than any disk.
pub fn parse_bytes(text: &str) -> Option<Bytes> {
    let (number, factor) = number_and_factor(text);
    let value = decimal(number)? * factor;
    (value <= 9e18).then_some(Bytes(value as u64))
}

/// Splits a quantity into its number and the factor of its suffix.
fn number_and_factor(text: &str) -> (&str, f64) {
    let suffixed = |(suffix, factor): &(&str, f64)| Some((text.strip_suffix(suffix)?, *factor));
    SUFFIXES.iter().find_map(suffixed).unwrap_or((text, 1.0))
}

/// Returns whether a text is a quantity of CPU.
pub fn is_cpu(text: &str) -> bool {
    let number = text.strip_suffix('m').unwrap_or(text);
    decimal(number).is_some()
}

/// Returns whether a text is a quantity of nothing, such as `0` or `0Gi`.
pub fn is_zero(text: &str) -> bool {
    is_equal(text, "0")
}

/// Returns whether two quantities are equal: the API server writes 0.5 as 500m and 1024Mi as 1Gi.
pub(crate) fn is_equal(one: &str, other: &str) -> bool {
    let thousandths = |text: &str| {
        let milli = text.strip_suffix('m').and_then(decimal);
        milli.or_else(|| {
            let (number, factor) = number_and_factor(text);
            Some(decimal(number)? * factor * 1000.0)
        })
    };
    let near = |a: f64, b: f64| (a - b).abs() <= a * 1e-12;
    thousandths(one)
        .zip(thousandths(other))
        .is_some_and(|(one, other)| near(one, other))
}

/// Parses digits with an optional fraction. Signs and exponents are not supported.
fn decimal(text: &str) -> Option<f64> {
    let digits = |t: &str| !t.is_empty() && t.chars().all(|c| c.is_ascii_digit());
    let valid = match text.split_once('.') {
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => digits(text),
    };
    if valid { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_follow_the_rules_of_kubernetes() {
        for (text, expected) in [
            ("50Gi", Some(53_687_091_200)),
            ("1.5Gi", Some(1_610_612_736)),
            ("500M", Some(500_000_000)),
            ("128974848", Some(128_974_848)),
            ("50 Gi", None),
            ("50gi", None),
            ("-1Gi", None),
            ("", None),
            ("Gi", None),
            ("1.Gi", None),
            ("99Ei", None),
        ] {
            assert_eq!(parse_bytes(text).map(|b| b.0), expected, "{text}");
        }
    }

    #[test]
    fn equal_quantities_in_other_notations() {
        for (one, other, expected) in [
            ("0.5", "500m", true),
            ("1000m", "1", true),
            ("1024Mi", "1Gi", true),
            ("1.001", "1001m", true),
            ("0.1Gi", "107374182400m", true),
            ("0", "0.0", true),
            ("1G", "1Gi", false),
            ("4", "5", false),
            ("x", "x", false),
        ] {
            assert_eq!(is_equal(one, other), expected, "{one} {other}");
        }
    }

    #[test]
    fn quantities_of_nothing() {
        for (text, expected) in [
            ("0", true),
            ("0.0", true),
            ("0m", true),
            ("0Gi", true),
            ("1m", false),
            ("", false),
        ] {
            assert_eq!(is_zero(text), expected, "{text}");
        }
    }

    #[test]
    fn quantities_of_cpu() {
        for (text, expected) in [
            ("4", true),
            ("0.5", true),
            ("3500m", true),
            ("0", true),
            ("fast", false),
            ("4Gi", false),
        ] {
            assert_eq!(is_cpu(text), expected, "{text}");
        }
    }
}
