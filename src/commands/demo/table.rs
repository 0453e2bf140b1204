//! The table that `demo` prints.

use crate::buildx::ImageBuildResult;

/// Returns a row for each build, below a heading.
pub(super) fn table(builds: &[(&str, ImageBuildResult)]) -> String {
    let width = builds.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut rows = vec![format!("{:width$}  {:>8}  {:>12}", "", "seconds", "cached steps")];
    for (name, build) in builds {
        let ImageBuildResult { took, steps, cached } = build;
        let cached = format!("{cached} of {steps}");
        rows.push(format!(
            "{name:width$}  {:>8.1}  {cached:>12}",
            took.as_secs_f64()
        ));
    }
    rows.join("\n")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn table_of_three_builds() {
        let build = |millis, cached| ImageBuildResult {
            took: Duration::from_millis(millis),
            steps: 12,
            cached,
        };
        insta::assert_snapshot!(table(&[
            ("empty cache", build(41_230, 0)),
            ("nothing changed", build(890, 12)),
            ("one line changed", build(3_460, 9)),
        ]));
    }
}
