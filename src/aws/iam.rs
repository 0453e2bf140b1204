//! IAM, for an administrator: GitHub's identity provider, and the role of the jobs.

use anyhow::Context;
use aws_sdk_iam::types::Tag;
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::call::AwsCall;
use super::http::{loader, no_sdk_retries};
use super::session::Session;
use crate::retry::Retrier;
use crate::setup::TAG;
use crate::setup::account::{AwsTarget, FoundRole};
use crate::setup::policy::{self, AUDIENCE, ISSUER};

/// The name of the role's inline policy.
const POLICY_NAME: &str = "remote-buildkit";

/// A client of IAM.
#[derive(Debug)]
pub struct Iam<'a> {
    client: aws_sdk_iam::Client,
    session: &'a Session,
    retrier: &'a Retrier,
}

impl<'a> Iam<'a> {
    pub async fn new(session: &'a Session, retrier: &'a Retrier) -> anyhow::Result<Self> {
        let config = loader(Some(&session.region.name), &session.clock)?
            .credentials_provider(session.keys.credentials())
            .use_fips(session.region.fips)
            .retry_config(no_sdk_retries())
            .load()
            .await;
        Ok(Self {
            client: aws_sdk_iam::Client::new(&config),
            session,
            retrier,
        })
    }

    fn call<'b>(&'b self, action: &'static str, resource: &'b str) -> AwsCall<'b> {
        AwsCall {
            service: "IAM",
            region: &self.session.region.name,
            action,
            resource,
        }
    }

    /// Returns the audiences of GitHub's identity provider, if it exists.
    pub async fn audiences(&self, target: &AwsTarget) -> anyhow::Result<Option<Vec<String>>> {
        let arn = target.provider_arn();
        let call = self.call("iam:GetOpenIDConnectProvider", &arn);
        let found = call.find(&self.session.clock, self.retrier, || {
            self.client
                .get_open_id_connect_provider()
                .open_id_connect_provider_arn(&arn)
                .send()
        });
        Ok(found.await?.map(|found| found.client_id_list().to_vec()))
    }

    /// Creates GitHub's identity provider. IAM trusts the certificate of this issuer without a thumbprint.
    pub async fn create_provider(&self, target: &AwsTarget) -> anyhow::Result<()> {
        let arn = target.provider_arn();
        let call = self.call("iam:CreateOpenIDConnectProvider", &arn);
        let tag = tag()?;
        let created = call.send(&self.session.clock, self.retrier, || {
            self.client
                .create_open_id_connect_provider()
                .url(format!("https://{ISSUER}"))
                .client_id_list(AUDIENCE)
                .tags(tag.clone())
                .send()
        });
        created.await.map(drop)
    }

    /// Adds the audience to GitHub's identity provider.
    pub async fn add_audience(&self, target: &AwsTarget) -> anyhow::Result<()> {
        let arn = target.provider_arn();
        let call = self.call("iam:AddClientIDToOpenIDConnectProvider", &arn);
        let added = call.send(&self.session.clock, self.retrier, || {
            self.client
                .add_client_id_to_open_id_connect_provider()
                .open_id_connect_provider_arn(&arn)
                .client_id(AUDIENCE)
                .send()
        });
        added.await.map(drop)
    }

    /// Returns the role with its policies, if it exists.
    pub async fn role(&self, target: &AwsTarget) -> anyhow::Result<Option<FoundRole>> {
        let arn = target.role_arn();
        let call = self.call("iam:GetRole", &arn);
        let found = call.find(&self.session.clock, self.retrier, || {
            self.client.get_role().role_name(&target.role).send()
        });
        let Some(role) = found.await?.and_then(|found| found.role) else {
            return Ok(None);
        };
        let (key, value) = TAG;
        let ours = role
            .tags()
            .iter()
            .any(|tag| tag.key() == key && tag.value() == value);
        let trust = role.assume_role_policy_document().unwrap_or_default();
        let permissions = if ours {
            self.permissions(target, &arn).await?
        } else {
            None
        };
        Ok(Some(FoundRole {
            ours,
            trust: document(trust)?,
            permissions,
        }))
    }

    /// Returns the inline policy of the role, if it exists.
    async fn permissions(&self, target: &AwsTarget, arn: &str) -> anyhow::Result<Option<Value>> {
        let call = self.call("iam:GetRolePolicy", arn);
        let found = call.find(&self.session.clock, self.retrier, || {
            self.client
                .get_role_policy()
                .role_name(&target.role)
                .policy_name(POLICY_NAME)
                .send()
        });
        found
            .await?
            .map(|found| document(found.policy_document()))
            .transpose()
    }

    /// Creates the role.
    pub async fn create_role(&self, target: &AwsTarget) -> anyhow::Result<()> {
        let arn = target.role_arn();
        let call = self.call("iam:CreateRole", &arn);
        let trust = policy::trust(target).to_string();
        let tag = tag()?;
        let created = call.send(&self.session.clock, self.retrier, || {
            self.client
                .create_role()
                .role_name(&target.role)
                .description("Jobs of GitHub Actions that build with remote-buildkit")
                .assume_role_policy_document(&trust)
                .tags(tag.clone())
                .send()
        });
        created.await.map(drop)
    }

    /// Replaces the trust policy of the role.
    pub async fn update_trust(&self, target: &AwsTarget) -> anyhow::Result<()> {
        let arn = target.role_arn();
        let call = self.call("iam:UpdateAssumeRolePolicy", &arn);
        let trust = policy::trust(target).to_string();
        let updated = call.send(&self.session.clock, self.retrier, || {
            self.client
                .update_assume_role_policy()
                .role_name(&target.role)
                .policy_document(&trust)
                .send()
        });
        updated.await.map(drop)
    }

    /// Replaces the inline policy of the role.
    pub async fn put_permissions(&self, target: &AwsTarget) -> anyhow::Result<()> {
        let arn = target.role_arn();
        let call = self.call("iam:PutRolePolicy", &arn);
        let permissions = policy::permissions(target).to_string();
        let put = call.send(&self.session.clock, self.retrier, || {
            self.client
                .put_role_policy()
                .role_name(&target.role)
                .policy_name(POLICY_NAME)
                .policy_document(&permissions)
                .send()
        });
        put.await.map(drop)
    }
}

fn tag() -> anyhow::Result<Tag> {
    let (key, value) = TAG;
    Tag::builder().key(key).value(value).build().context("a tag")
}

/// Decodes a policy, which IAM returns percent-encoded.
fn document(encoded: &str) -> anyhow::Result<Value> {
    let text = percent_decode_str(encoded).decode_utf8();
    let text = text.context("reading a policy that IAM returned")?;
    serde_json::from_str(&text).context("reading a policy that IAM returned")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_decoded() {
        let found = document("%7B%22Version%22%3A%20%222012-10-17%22%7D").expect("a policy");
        assert_eq!(found["Version"], "2012-10-17");
        assert!(document("").is_err());
    }
}
