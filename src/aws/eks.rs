//! Where the cluster is.

use super::keys::Keys;
use super::{Answer, DENIED, Place, loader, once, partition, unreachable};
use crate::problem::Problem;
use crate::retry::{Failed, Tries};

/// How to reach a cluster's API server.
#[derive(Debug, Clone)]
pub struct Endpoint {
    pub url: String,
    /// PEM in base64, as a kubeconfig wants it.
    pub certificate_authority: String,
}

pub async fn describe_cluster(
    keys: &Keys,
    cluster: &str,
    place: &Place,
    tries: &Tries,
) -> anyhow::Result<Endpoint> {
    let region = &place.region;
    let config = loader(Some(region))
        .credentials_provider(keys.credentials())
        .retry_config(once())
        .load()
        .await;
    let client = aws_sdk_eks::Client::new(&config);
    let output = tries.run(|| async {
        let answer = client.describe_cluster().name(cluster).send().await;
        answer.map_err(|error| {
            let answer = Answer::of(&error);
            Failed::new(answer.cause, refused(cluster, region, &answer))
        })
    });
    let output = output.await?;
    let found = output.cluster();
    let url = found.and_then(|c| c.endpoint());
    let ca = found.and_then(|c| c.certificate_authority()?.data());
    let (Some(url), Some(ca)) = (url, ca) else {
        let status = found.and_then(|c| c.status()).map_or("unknown", |s| s.as_str());
        return Err(Problem::new(
            "Cluster not ready",
            format!(
                "Asked EKS in {region} for the cluster {cluster} and got no endpoint; its status is {status}."
            ),
            "Wait until the cluster is ACTIVE.",
        )
        .into());
    };
    Ok(Endpoint {
        url: url.to_owned(),
        certificate_authority: ca.to_owned(),
    })
}

fn refused(cluster: &str, region: &str, answer: &Answer) -> Problem {
    if !answer.answered {
        return unreachable("EKS", region, answer);
    }
    let what = format!(
        "Called eks:DescribeCluster for the cluster {cluster} in {region} and got {}.",
        answer.text
    );
    if answer.is(DENIED) {
        let arn = format!("arn:{}:eks:{region}:*:cluster/{cluster}", partition(region));
        return Problem::new(
            "Cluster may not be described",
            what,
            format!(
                "Add to the role's policy: {{\"Effect\": \"Allow\", \"Action\": \"eks:DescribeCluster\", \
                 \"Resource\": \"{arn}\"}}"
            ),
        );
    }
    if answer.is(&["ResourceNotFoundException"]) {
        return Problem::new(
            "Unknown cluster",
            what,
            format!(
                "Check the inputs `cluster` and `region`, and that the credentials are of the cluster's account. \
                 aws eks list-clusters --region {region} lists what there is."
            ),
        );
    }
    Problem::new(
        "Cluster not described",
        what,
        "The service's own message above says what it refused.",
    )
}
