//! The cluster's endpoint, from eks:DescribeCluster.

use aws_sdk_eks::types::VpcConfigResponse;

use super::failure::{ACCESS_DENIED, AwsFailure, SEE_MESSAGE, unreachable};
use super::http::{loader, no_sdk_retries};
use super::region::partition;
use super::session::Session;
use crate::endpoint_access::EndpointAccess;
use crate::error_code::ErrorCode;
use crate::problem::Problem;
use crate::retry::{AttemptError, Retrier};

/// The address and CA of a cluster's API server.
#[derive(Debug, Clone)]
pub struct Endpoint {
    pub url: String,
    /// PEM in base64, as in a kubeconfig.
    pub certificate_authority: String,
    /// From which networks it can be reached.
    pub access: EndpointAccess,
}

/// Returns the endpoint of a cluster, by its name.
pub async fn describe_cluster(
    cluster: &str,
    session: &Session,
    retrier: &Retrier,
) -> anyhow::Result<Endpoint> {
    let clock = &session.clock;
    let region = &session.region.name;
    let client = client(session).await?;
    let endpoint = retrier.run(|| clock.with_clock_check(describe_once(&client, cluster, region)));
    endpoint.await
}

/// Returns a client of EKS.
pub(super) async fn client(session: &Session) -> anyhow::Result<aws_sdk_eks::Client> {
    let config = loader(Some(&session.region.name), &session.clock)?
        .credentials_provider(session.keys.credentials())
        .retry_config(no_sdk_retries())
        .load()
        .await;
    Ok(aws_sdk_eks::Client::new(&config))
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
        access: found
            .and_then(|c| c.resources_vpc_config())
            .map(|config| endpoint_access(cluster, region, config))
            .unwrap_or_default(),
    })
}

/// Returns from which networks the endpoint can be reached.
fn endpoint_access(cluster: &str, region: &str, config: &VpcConfigResponse) -> EndpointAccess {
    if !config.endpoint_public_access() {
        return EndpointAccess::Private {
            cluster: cluster.to_owned(),
            region: region.to_owned(),
        };
    }
    let cidrs = config.public_access_cidrs();
    if cidrs.is_empty() || cidrs.iter().any(|cidr| cidr == "0.0.0.0/0" || cidr == "::/0") {
        return EndpointAccess::Public;
    }
    EndpointAccess::Restricted {
        cluster: cluster.to_owned(),
        cidrs: cidrs.to_vec(),
        vpc: config.endpoint_private_access(),
    }
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
    fn networks_that_can_reach_an_endpoint() {
        let access = |public: bool, private: bool, cidrs: &[&str]| {
            let config = VpcConfigResponse::builder()
                .endpoint_public_access(public)
                .endpoint_private_access(private)
                .set_public_access_cidrs(Some(cidrs.iter().map(ToString::to_string).collect()))
                .build();
            endpoint_access("shop", "eu-west-1", &config)
        };
        assert_eq!(access(true, false, &["0.0.0.0/0"]), EndpointAccess::Public);
        assert_eq!(access(true, true, &["0.0.0.0/0", "::/0"]), EndpointAccess::Public);
        assert_eq!(access(true, true, &[]), EndpointAccess::Public);
        let private = EndpointAccess::Private {
            cluster: "shop".into(),
            region: "eu-west-1".into(),
        };
        assert_eq!(access(false, true, &[]), private);
        let restricted = |cidrs: &[&str], vpc: bool| EndpointAccess::Restricted {
            cluster: "shop".into(),
            cidrs: cidrs.iter().map(ToString::to_string).collect(),
            vpc,
        };
        let cidrs = ["203.0.113.0/24", "2001:db8::/32"];
        assert_eq!(access(true, false, &cidrs), restricted(&cidrs, false));
        assert_eq!(
            access(true, true, &["203.0.113.0/24"]),
            restricted(&["203.0.113.0/24"], true)
        );
    }
}
