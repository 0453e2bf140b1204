//! The AWS region, and the partition to which it belongs.

use aws_config::SdkConfig;
use serde::{Deserialize, Serialize};

use crate::error_code::ErrorCode;
use crate::problem::Problem;

/// An AWS region, and whether its FIPS endpoints are used.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AwsRegion {
    pub name: String,
    /// Set by AWS_USE_FIPS_ENDPOINT or the profile.
    pub fips: bool,
}

/// Returns the region of a loaded configuration.
pub(super) fn resolve_region(config: &SdkConfig) -> Result<AwsRegion, Problem> {
    let region = config.region().ok_or_else(|| {
        Problem::new(
            ErrorCode::AwsRegionMissing,
            "Looked for the region of the cluster in the input `region`, AWS_REGION, AWS_DEFAULT_REGION, the AWS \
             profile and the instance metadata, and found none.",
            "Set `region`, for example `region: us-west-2`.",
        )
    })?;
    Ok(AwsRegion {
        name: region.as_ref().to_owned(),
        fips: config.use_fips().unwrap_or(false),
    })
}

/// Returns the partition of a region, as ARNs write it.
pub(super) fn partition(region: &str) -> &'static str {
    match region.split('-').collect::<Vec<_>>()[..] {
        ["cn", ..] => "aws-cn",
        ["us", "gov", ..] => "aws-us-gov",
        _ => "aws",
    }
}
