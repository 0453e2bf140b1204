//! Requests whose responses are read as JSON. A type for each object that is read once would only make the binary larger.

use kube::Error;
use serde_json::Value;

use super::Cluster;
use super::error::ApiOperation;

/// The result of reading an object that may be missing, or that RBAC may hide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup<T> {
    Found(T),
    NotFound,
    /// The server's message.
    Forbidden(String),
}

impl<T> Lookup<T> {
    /// Converts the object that was found.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Lookup<U> {
        match self {
            Self::Found(found) => Lookup::Found(change(found)),
            Self::NotFound => Lookup::NotFound,
            Self::Forbidden(why) => Lookup::Forbidden(why),
        }
    }
}

impl Cluster {
    /// Reads the object, or list, at a path.
    pub(super) async fn read(&self, resource: &'static str, path: &str) -> anyhow::Result<Lookup<Value>> {
        self.lookup(&ApiOperation::new("get", resource), || {
            http::Request::get(path).body(vec![])
        })
        .await
    }

    /// Posts a review, such as a SelfSubjectReview. It creates no object.
    pub(super) async fn review(
        &self,
        resource: &'static str,
        path: &str,
        body: &Value,
    ) -> anyhow::Result<Lookup<Value>> {
        let body = body.to_string();
        self.lookup(&ApiOperation::new("create", resource), || {
            http::Request::post(path)
                .header(http::header::CONTENT_TYPE, "application/json")
                .body(body.clone().into_bytes())
        })
        .await
    }

    async fn lookup(
        &self,
        operation: &ApiOperation,
        http: impl Fn() -> http::Result<http::Request<Vec<u8>>>,
    ) -> anyhow::Result<Lookup<Value>> {
        self.request(operation, || async {
            let http = http().map_err(Error::HttpError)?;
            match self.client.request(http).await {
                Ok(found) => Ok(Lookup::Found(found)),
                Err(Error::Api(status)) if status.code == 404 => Ok(Lookup::NotFound),
                Err(Error::Api(status)) if status.code == 403 => {
                    Ok(Lookup::Forbidden(status.message.clone()))
                }
                Err(error) => Err(error),
            }
        })
        .await
    }
}
