//! Requests whose answers are read as JSON: for what is asked once, a type of its own would only add to the program.

use kube::Error;
use serde_json::Value;

use super::Cluster;
use super::refusal::Request;

/// What there is at a path of the API, as far as this identity may know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen<T> {
    There(T),
    Absent,
    /// In the server's words.
    Forbidden(String),
}

impl<T> Seen<T> {
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Seen<U> {
        match self {
            Self::There(found) => Seen::There(change(found)),
            Self::Absent => Seen::Absent,
            Self::Forbidden(why) => Seen::Forbidden(why),
        }
    }
}

impl Cluster {
    pub(super) async fn read(&self, resource: &'static str, path: &str) -> anyhow::Result<Seen<Value>> {
        self.raw(&Request::new("get", resource), || {
            http::Request::get(path).body(vec![])
        })
        .await
    }

    /// Asks for a review, which makes no object.
    pub(super) async fn review(
        &self,
        resource: &'static str,
        path: &str,
        body: &Value,
    ) -> anyhow::Result<Seen<Value>> {
        let body = body.to_string();
        self.raw(&Request::new("create", resource), || {
            http::Request::post(path)
                .header(http::header::CONTENT_TYPE, "application/json")
                .body(body.clone().into_bytes())
        })
        .await
    }

    async fn raw(
        &self,
        request: &Request,
        http: impl Fn() -> http::Result<http::Request<Vec<u8>>>,
    ) -> anyhow::Result<Seen<Value>> {
        self.ask(request, || async {
            let http = http().map_err(Error::HttpError)?;
            match self.client.request(http).await {
                Ok(found) => Ok(Seen::There(found)),
                Err(Error::Api(status)) if status.code == 404 => Ok(Seen::Absent),
                Err(Error::Api(status)) if status.code == 403 => Ok(Seen::Forbidden(status.message.clone())),
                Err(error) => Err(error),
            }
        })
        .await
    }
}
