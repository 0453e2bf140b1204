//! regex-lite in regex's place: the same interface by the same authors, without Unicode's tables and the engines for
//! speed, for which the binary would grow by a fifteenth. Only kube asks for it: a kubeconfig may say with a JSONPath
//! where the credential of an `auth-provider` is, and a JSONPath may filter by a regular expression.

pub use regex_lite::*;
