//! Responses of GitHub's OIDC endpoint, and the subject of the token.
#![no_main]

use libfuzzer_sys::fuzz_target;
use remote_buildkit::github::id_token_of;

fuzz_target!(|body: &[u8]| {
    let Ok(token) = id_token_of(body) else { return };
    assert!(!token.subject.contains(char::is_control), "{:?}", token.subject);
});
