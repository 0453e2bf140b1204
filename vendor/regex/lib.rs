//! Replaces the crate regex with regex-lite: the same interface by the same authors, without Unicode tables and without the
//! fast engines. With regex the binary would be a fifteenth larger. Only kube depends on it: a kubeconfig may locate the
//! credential of an `auth-provider` with a JSONPath, which may filter by a regular expression.

pub use regex_lite::*;
