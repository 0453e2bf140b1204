//! Secret values that are never printed, and texts that may contain one.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// A secret value. Its debug output is `***`, but it serializes as the value, for the session's files with mode 0600.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// Returns the value. A review for leaks must check every use of this function.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Returns a text without the user and the password before its last `@`. All before it is hidden, but for a scheme: a
/// password may have any character if it is not percent-encoded.
pub fn hide_user_info(text: &str) -> Cow<'_, str> {
    let Some((before, after)) = text.rsplit_once('@') else {
        return text.into();
    };
    match before.split_once("://") {
        Some((scheme, _)) if scheme.chars().all(|c| c.is_ascii_alphanumeric()) => {
            format!("{scheme}://***@{after}").into()
        }
        _ => format!("***@{after}").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_info_is_hidden_up_to_the_last_at_sign() {
        for (text, shown) in [
            ("https://me:secret@host/a", "https://***@host/a"),
            ("https://me:se/c,r=e@t@host", "https://***@host"),
            ("quay.io=https://me:secret@host", "***@host"),
            ("me:secret@a,https://me:secret@b", "***@b"),
            ("https://host/a", "https://host/a"),
        ] {
            assert_eq!(hide_user_info(text), shown);
        }
    }

    #[test]
    fn debug_output_does_not_hold_the_value() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "*** Some(***)");
    }
}
