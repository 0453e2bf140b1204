//! CA certificates that are trusted in addition to the machine's own. A proxy that intercepts TLS signs with its own
//! CA, so every client in the job must trust that CA. Later clients, such as buildx and kubectl, get it from the
//! kubeconfig.

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::env;
use crate::error_code::ErrorCode;
use crate::problem::Problem;

/// The certificates of the file that an environment variable names. Empty if the variable is not set.
#[derive(Debug, Default)]
pub struct Bundle(Vec<CertificateDer<'static>>);

impl Bundle {
    fn from_variable(variable: &str) -> Result<Self, Problem> {
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

    /// Returns the certificates as PEM; empty if there are none.
    pub fn pem(&self) -> String {
        let pem = |certificate: &CertificateDer<'_>| {
            let text = STANDARD.encode(certificate);
            let lines: Vec<&str> = (0..text.len())
                .step_by(64)
                .map(|start| &text[start..text.len().min(start + 64)])
                .collect();
            format!(
                "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
                lines.join("\n")
            )
        };
        self.0.iter().map(pem).collect()
    }
}

/// Returns the certificates in a PEM text that rustls can use. Others are left out: the bundles of some distributions
/// contain them, and a client cannot be created with them.
pub fn certificates(pem: &[u8]) -> Vec<CertificateDer<'static>> {
    let usable =
        |certificate: &CertificateDer<'static>| RootCertStore::empty().add(certificate.clone()).is_ok();
    CertificateDer::pem_slice_iter(pem)
        .filter_map(Result::ok)
        .filter(usable)
        .collect()
}

/// Returns the bundle for AWS. `SSL_CERT_FILE` is not part of it, because it replaces the machine's own certificates.
/// It is read only to report an unusable file, with which a client would trust no server.
pub fn for_aws() -> Result<Bundle, Problem> {
    Bundle::from_variable(env::SSL_CERT_FILE)?;
    Bundle::from_variable(env::AWS_CA_BUNDLE)
}

/// Returns the bundle for an EKS cluster, which is otherwise trusted only by its own CA. `AWS_CA_BUNDLE` always
/// counts, because the user sets it for AWS. `SSL_CERT_FILE` may contain every public CA, so it counts only if a
/// proxy is used.
pub fn for_cluster(proxied: bool) -> Result<Bundle, Problem> {
    let mut bundle = for_aws()?;
    if proxied {
        bundle.0.extend(Bundle::from_variable(env::SSL_CERT_FILE)?.0);
    }
    Ok(bundle)
}

/// Returns the machine's own certificates, which `SSL_CERT_FILE` replaces, and the bundle for AWS.
pub fn roots() -> anyhow::Result<RootCertStore> {
    let bundle = for_aws()?;
    let native = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(native.certs.into_iter().chain(bundle.0));
    let no_roots = || format!("found no CA certificates on this machine: {:?}", native.errors);
    (!roots.is_empty()).then_some(roots).with_context(no_roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A test certificate. The command that created it:
    ///
    /// openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=test -days 36500
    const CERTIFICATE: &str = include_str!("fixtures/ca.pem");

    #[test]
    fn certificates_are_found_between_other_text() {
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
