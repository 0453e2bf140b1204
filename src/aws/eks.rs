//! The cluster's endpoint, from eks:DescribeCluster.

use aws_sdk_eks::types::VpcConfigResponse;

use super::{
    ACCESS_DENIED, AwsFailure, SEE_MESSAGE, Session, loader, no_sdk_retries, partition, unreachable,
};
use crate::error_code::ErrorCode;
use crate::problem::Problem;
use crate::retry::{AttemptError, Retrier};

/// The address and CA of a cluster's API server.
#[derive(Debug, Clone)]
pub struct Endpoint {
    pub url: String,
    /// PEM in base64, as in a kubeconfig.
    pub certificate_authority: String,
    /// What to do where it is not reached, if it is not open to everybody.
    pub limits: Option<String>,
}

/// Returns the endpoint of a cluster, by its name.
pub async fn describe_cluster(
    cluster: &str,
    session: &Session,
    retrier: &Retrier,
) -> anyhow::Result<Endpoint> {
    let clock = &session.clock;
    let region = &session.region.name;
    let config = loader(Some(region), clock)?
        .credentials_provider(session.keys.credentials())
        .retry_config(no_sdk_retries())
        .load()
        .await;
    let client = aws_sdk_eks::Client::new(&config);
    let endpoint = retrier.run(|| clock.with_clock_check(describe_once(&client, cluster, region)));
    endpoint.await
}

/// Calls DescribeCluster once. Public for the fuzzer, whose client returns canned responses.
pub async fn describe_once(
    client: &aws_sdk_eks::Client,
    cluster: &str,
    region: &str,
) -> Result<Endpoint, AttemptError> {
    let response = client.describe_cluster().name(cluster).send().await;
    let output = response.map_err(|error| {
        let failure = AwsFailure::from_sdk(&error);
        AttemptError::new(failure.kind, describe_failed(cluster, region, &failure))
    })?;
    let found = output.cluster();
    let url = found.and_then(|c| c.endpoint());
    let ca = found.and_then(|c| c.certificate_authority()?.data());
    let (Some(url), Some(ca)) = (url, ca) else {
        let status = found.and_then(|c| c.status()).map_or("unknown", |s| s.as_str());
        return Err(Problem::new(
            ErrorCode::ClusterNotActive,
            format!(
                "Called eks:DescribeCluster for the cluster {cluster} in {region}. It has no endpoint, and its status is \
                 {status}."
            ),
            "Wait until the cluster's status is ACTIVE.",
        )
        .into());
    };
    Ok(Endpoint {
        url: url.to_owned(),
        certificate_authority: ca.to_owned(),
        limits: found.and_then(|c| limits(cluster, region, c.resources_vpc_config()?)),
    })
}

fn limits(cluster: &str, region: &str, access: &VpcConfigResponse) -> Option<String> {
    let everybody = |cidr: &String| cidr == "0.0.0.0/0" || cidr == "::/0";
    let admitted = access.public_access_cidrs();
    let inside = "its VPC and what is peered with it";
    if !access.endpoint_public_access() {
        return Some(format!(
            "The endpoint of the cluster {cluster} is private: it is reached only from {inside}. Take a runner there, \
             or open it: aws eks update-cluster-config --region {region} --name {cluster} \
             --resources-vpc-config endpointPublicAccess=true,publicAccessCidrs=ADDRESS_OF_THE_RUNNER/32"
        ));
    }
    if admitted.is_empty() || admitted.iter().any(everybody) {
        return None;
    }
    let private = if access.endpoint_private_access() {
        format!(", or be in {inside}")
    } else {
        String::new()
    };
    Some(format!(
        "The endpoint of the cluster {cluster} is public for {} only: this runner's address has to be among them{private}.",
        admitted.join(", ")
    ))
}

fn describe_failed(cluster: &str, region: &str, failure: &AwsFailure) -> Problem {
    if !failure.from_service {
        return unreachable(ErrorCode::EksUnreachable, "EKS", region, failure);
    }
    let what = format!(
        "Called eks:DescribeCluster for the cluster {cluster} in {region} and got {}.",
        failure.message
    );
    if failure.has_code(ACCESS_DENIED) {
        let arn = format!("arn:{}:eks:{region}:*:cluster/{cluster}", partition(region));
        return Problem::new(
            ErrorCode::DescribeClusterDenied,
            what,
            format!(
                "Add to the role's policy: {{\"Effect\": \"Allow\", \"Action\": \"eks:DescribeCluster\", \
                 \"Resource\": \"{arn}\"}}"
            ),
        );
    }
    if failure.has_code(&["ResourceNotFoundException"]) {
        return Problem::new(
            ErrorCode::ClusterNotFound,
            what,
            format!(
                "Check `cluster` and `region`, and that the credentials belong to the cluster's account. \
                 aws eks list-clusters --region {region} lists the clusters."
            ),
        );
    }
    Problem::new(ErrorCode::DescribeClusterFailed, what, SEE_MESSAGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_that_is_not_open_to_everybody_says_to_whom_it_is() {
        let limits = |public: bool, private: bool, cidrs: &[&str]| {
            let access = VpcConfigResponse::builder()
                .endpoint_public_access(public)
                .endpoint_private_access(private)
                .set_public_access_cidrs(Some(cidrs.iter().map(ToString::to_string).collect()))
                .build();
            limits("shop", "eu-west-1", &access)
        };
        assert_eq!(limits(true, false, &["0.0.0.0/0"]), None);
        assert_eq!(limits(true, true, &["0.0.0.0/0", "::/0"]), None);
        assert_eq!(limits(true, true, &[]), None);
        let private = limits(false, true, &[]).expect("private");
        assert!(
            private.contains("is private: it is reached only from its VPC"),
            "{private}"
        );
        assert_eq!(
            limits(true, false, &["203.0.113.0/24", "2001:db8::/32"]).as_deref(),
            Some(
                "The endpoint of the cluster shop is public for 203.0.113.0/24, 2001:db8::/32 only: this runner's address \
                 has to be among them."
            )
        );
        let both = limits(true, true, &["203.0.113.0/24"]).expect("both");
        assert!(
            both.ends_with("or be in its VPC and what is peered with it."),
            "{both}"
        );
    }
}
