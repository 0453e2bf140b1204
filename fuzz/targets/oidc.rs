//! Parses responses of GitHub's OIDC endpoint. The subject of the token contains no control characters.
#![no_main]

use libfuzzer_sys::fuzz_target;
use remote_buildkit::fuzz::id_token_of;

fuzz_target!(|body: &[u8]| {
    let Ok(token) = id_token_of(body) else { return };
    assert!(!token.subject.contains(char::is_control), "{:?}", token.subject);
});
