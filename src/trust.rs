//! Certificates that are trusted beside the machine's own. Where a proxy opens TLS it signs with a CA of its own, and
//! every client of a job has to be told, those that come after us by way of the kubeconfig.

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::env;
use crate::error_code::ErrorCode;
use crate::problem::Problem;

/// Certificates of a file that a variable names; none where it names none.
#[derive(Debug, Default)]
pub struct Bundle(Vec<CertificateDer<'static>>);

impl Bundle {
    fn named_by(variable: &str) -> Result<Self, Problem> {
        match env::get(variable) {
            Some(path) => Self::read(variable, &path),
            None => Ok(Self::default()),
        }
    }

    fn read(variable: &str, path: &str) -> Result<Self, Problem> {
        let unusable = |why: &str| {
            Problem::new(
                ErrorCode::InvalidCaBundle,
                format!("Cannot use the CA bundle {path} that {variable} names: {why}."),
                format!("Set {variable} to a PEM file on this runner, or unset it."),
            )
        };
        let text = std::fs::read(path).map_err(|error| unusable(&error.to_string()))?;
        let certificates = certificates(&text);
        if certificates.is_empty() {
            return Err(unusable("it contains no certificate"));
        }
        Ok(Self(certificates))
    }

    /// As PEM; empty where there is none.
    pub fn pem(&self) -> String {
        let pem = |certificate: &CertificateDer<'_>| {
            let text = STANDARD.encode(certificate);
            let lines: Vec<&str> = (0..text.len())
                .step_by(64)
                .map(|at| &text[at..text.len().min(at + 64)])
                .collect();
            format!(
                "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
                lines.join("\n")
            )
        };
        self.0.iter().map(pem).collect()
    }
}

/// Those in a text of PEM that rustls can use: one that it cannot stops a client from being made, and bundles of
/// distributions hold such ones.
pub fn certificates(pem: &[u8]) -> Vec<CertificateDer<'static>> {
    let usable =
        |certificate: &CertificateDer<'static>| RootCertStore::empty().add(certificate.clone()).is_ok();
    CertificateDer::pem_slice_iter(pem)
        .filter_map(Result::ok)
        .filter(usable)
        .collect()
}

/// For AWS. `SSL_CERT_FILE` is no part of it: it stands for the machine's own, but a file that is not there would leave
/// a client that trusts nobody.
pub fn for_aws() -> Result<Bundle, Problem> {
    Bundle::named_by(env::SSL_CERT_FILE)?;
    Bundle::named_by(env::AWS_CA_BUNDLE)
}

/// For a cluster of EKS, whose CA is the only one that vouches for it otherwise. The user names `AWS_CA_BUNDLE` for AWS. What
/// `SSL_CERT_FILE` names may be every public CA, so it counts only with a proxy in the way.
pub fn for_cluster(proxied: bool) -> Result<Bundle, Problem> {
    let mut bundle = for_aws()?;
    if proxied {
        bundle.0.extend(Bundle::named_by(env::SSL_CERT_FILE)?.0);
    }
    Ok(bundle)
}

/// The machine's own, which `SSL_CERT_FILE` replaces, and the bundle for AWS.
pub fn roots() -> anyhow::Result<RootCertStore> {
    let bundle = for_aws()?;
    let own = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(own.certs.into_iter().chain(bundle.0));
    let none = || format!("found no CA certificates on this machine: {:?}", own.errors);
    (!roots.is_empty()).then_some(roots).with_context(none)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with: openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=test -days 36500
    const CERTIFICATE: &str = include_str!("fixtures/ca.pem");

    #[test]
    fn certificates_are_found_among_other_things() {
        let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let text = format!("# a comment\n{junk}{CERTIFICATE}\nmore\n{CERTIFICATE}");
        let bundle = Bundle(certificates(text.as_bytes()));
        assert_eq!(bundle.0.len(), 2);
        assert_eq!(bundle.pem(), CERTIFICATE.repeat(2));
        assert_eq!(Bundle::default().pem(), "");
    }

    #[test]
    fn an_unusable_bundle_names_variable_and_path() {
        for (path, why) in [
            ("/nowhere/ca.pem", "No such file"),
            ("Cargo.toml", "it contains no certificate"),
        ] {
            let problem = Bundle::read("AWS_CA_BUNDLE", path).expect_err("no bundle");
            for word in [path, "AWS_CA_BUNDLE", why] {
                assert!(problem.what.contains(word), "{}", problem.what);
            }
        }
    }
}
