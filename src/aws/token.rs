//! The token that an EKS cluster accepts: a presigned GetCallerIdentity request, which the cluster sends to STS to learn the
//! caller's identity (kubernetes-sigs/aws-iam-authenticator, pkg/token). It is created locally, without a request.

use std::time::{Duration, SystemTime};

use anyhow::Context;
use aws_sdk_sts::config::endpoint::{DefaultResolver, Params, ResolveEndpoint};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign};
use aws_sigv4::sign::v4;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::keys::AccessKeys;
use super::region::AwsRegion;
use crate::secret::Secret;

/// How long a client may use a token. The server accepts it for 15 minutes; as in aws-cli, the client renews it a minute
/// earlier.
const LIFETIME: SignedDuration = SignedDuration::from_mins(14);

/// The validity of the signature itself. The authenticator ignores it, but rejects more than 900 s.
const SIGNATURE_LIFETIME: Duration = Duration::from_secs(60);

/// The characters that SigV4 percent-encodes: all but RFC 3986's unreserved ones.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// A token, and when the client must renew it.
#[derive(Debug)]
pub struct EksToken {
    pub value: Secret,
    pub expires: Timestamp,
}

/// Returns a token for the cluster.
pub fn token(
    keys: &AccessKeys,
    cluster: &str,
    region: &AwsRegion,
    now: Timestamp,
) -> anyhow::Result<EksToken> {
    let host = sts_host(&region.name, region.fips)?;
    let mut url = format!("https://{host}/?Action=GetCallerIdentity&Version=2011-06-15");
    let headers = [("host", host.as_str()), ("x-k8s-aws-id", cluster)];

    let identity = keys.credentials().into();
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(SIGNATURE_LIFETIME);
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(&region.name)
        .name("sts")
        .time(SystemTime::from(now))
        .settings(settings)
        .build()
        .context("signing the token")?
        .into();
    let request = SignableRequest::new("GET", &url, headers.into_iter(), SignableBody::empty())
        .context("signing the token")?;
    let (instructions, _signature) = sign(request, &params).context("signing the token")?.into_parts();

    // The signature comes last, as in botocore, so that the bytes equal those of `aws eks get-token`.
    let (signature, others): (Vec<_>, Vec<_>) = instructions
        .params()
        .iter()
        .partition(|(name, _)| *name == "X-Amz-Signature");
    for (name, value) in others.into_iter().chain(signature) {
        url.push_str(&format!("&{name}={}", utf8_percent_encode(value, RESERVED)));
    }

    let limit = now + LIFETIME;
    Ok(EksToken {
        value: Secret::new(format!("k8s-aws-v1.{}", URL_SAFE_NO_PAD.encode(url))),
        expires: keys.expires.map_or(limit, |keys| keys.min(limit)),
    })
}

/// Returns the host of STS in a region. AWS_ENDPOINT_URL is ignored, because the cluster calls this host.
fn sts_host(region: &str, fips: bool) -> anyhow::Result<String> {
    let params = Params::builder()
        .region(region)
        .use_fips(fips)
        .use_dual_stack(false)
        .use_global_endpoint(false)
        .build()
        .context("resolving the endpoint of STS")?;
    let endpoint = futures::executor::block_on(DefaultResolver::new().resolve_endpoint(&params))
        .map_err(|e| anyhow::anyhow!("resolving the endpoint of STS in {region}: {e}"))?;
    let host = endpoint.url().trim_start_matches("https://");
    Ok(host.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_sts() {
        for (region, fips, host) in [
            ("eu-west-1", false, "sts.eu-west-1.amazonaws.com"),
            ("us-east-1", false, "sts.us-east-1.amazonaws.com"),
            ("us-east-1", true, "sts-fips.us-east-1.amazonaws.com"),
            ("cn-north-1", false, "sts.cn-north-1.amazonaws.com.cn"),
            ("us-gov-west-1", false, "sts.us-gov-west-1.amazonaws.com"),
            ("us-gov-west-1", true, "sts.us-gov-west-1.amazonaws.com"),
        ] {
            assert_eq!(sts_host(region, fips).expect(region), host);
        }
    }
}
