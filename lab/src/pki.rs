//! Certificates: a CA for the registry, kept in the cache because images trust it, and a CA of each lab for everything else.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};

use crate::cache::{Cache, Key};

/// A certificate authority. It depends only on its name and key, so it can be restored from the key.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
    pub(crate) key_pem: String,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority")
            .field("pem", &self.pem)
            .finish_non_exhaustive()
    }
}

/// A certificate and its key, both in PEM.
#[derive(Debug)]
pub(crate) struct Leaf {
    pub(crate) cert: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Result<Self> {
        Self::with_key(name, KeyPair::generate()?)
    }

    fn with_key(name: &str, key: KeyPair) -> Result<Self> {
        let mut params = params(&[], name, None)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key_pem = key.serialize_pem();
        let pem = params.self_signed(&key)?.pem();
        Ok(Self {
            issuer: Issuer::new(params, key),
            pem,
            key_pem,
        })
    }

    /// Returns the registry's CA from the cache, and its PEM file.
    pub(crate) fn registry(cache: &Cache) -> Result<(Self, std::path::PathBuf)> {
        const NAME: &str = "remote-buildkit lab registry";
        let dir = cache.entry(&Key::new("registry-ca"), |dir| {
            let made = Self::new(NAME)?;
            fs::write(dir.join("ca.crt"), &made.pem)?;
            write_secret(&dir.join("ca.key"), &made.key_pem)
        })?;
        let key = KeyPair::from_pem(&fs::read_to_string(dir.join("ca.key"))?)?;
        Ok((Self::with_key(NAME, key)?, dir.join("ca.crt")))
    }

    /// Issues a certificate for clients and servers. `names` are DNS names and IP addresses.
    pub(crate) fn issue(
        &self,
        common_name: &str,
        organization: Option<&str>,
        names: &[&str],
    ) -> Result<Leaf> {
        let key = KeyPair::generate()?;
        let mut params = params(names, common_name, organization)?;
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.use_authority_key_identifier_extension = true;
        let cert = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Leaf {
            cert,
            key: key.serialize_pem(),
        })
    }
}

impl Leaf {
    /// Writes `dir/name.crt` and `dir/name.key`.
    pub(crate) fn write(&self, dir: &Path, name: &str) -> Result<()> {
        fs::write(dir.join(format!("{name}.crt")), &self.cert)?;
        write_secret(&dir.join(format!("{name}.key")), &self.key)
    }
}

/// Generates a key pair that signs service account tokens: private and public key.
pub(crate) fn signing_key() -> Result<(String, String)> {
    let key = KeyPair::generate()?;
    Ok((key.serialize_pem(), key.public_key_pem()))
}

pub(crate) fn write_secret(path: &Path, content: &str) -> Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = fs::File::options()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("could not write {}", path.display()))?;
    file.write_all(content.as_bytes())?;
    Ok(())
}

fn params(names: &[&str], common_name: &str, organization: Option<&str>) -> Result<CertificateParams> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names)?;
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, common_name);
    if let Some(organization) = organization {
        subject.push(DnType::OrganizationName, organization);
    }
    params.distinguished_name = subject;
    // Fixed dates: the certificates should not depend on when the lab was built.
    params.not_before = date_time_ymd(2024, 1, 1);
    params.not_after = date_time_ymd(2124, 1, 1);
    Ok(params)
}
