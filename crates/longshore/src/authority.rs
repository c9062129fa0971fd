//! The authority that vouches for this daemon where the operator brings no certificate, and for the
//! operator's `docker`, where the Docker API is served to other machines.
//!
//! In the data directory: `ca.pem`, which clients are given; `tls/ca-key.pem`, which nobody is; and
//! `docker-tls/`, a `DOCKER_CERT_PATH` for the operator. The daemon's own certificate is made anew
//! at each start and written nowhere. Whoever removes `tls/` has another authority at the next
//! start, whose clients' certificates are the only ones that count.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use edge::tls::Pem;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};

use crate::operator::{PRIVATE, PUBLIC, write};

/// Where clients find the authority's certificate, in the data directory.
pub(crate) const FILE: &str = "ca.pem";
/// What the authority is called.
const NAME: &str = "Longshore";
/// How long the authority is good for: as long as the machine, roughly.
const AUTHORITY_DAYS: u64 = 3_650;
/// The longest that clients accept of a server's certificate.
const CERTIFICATE_DAYS: u64 = 825;
/// Clocks of clients that are late by so much still take a certificate that was just made.
const CLOCK_SKEW_DAYS: u64 = 1;
/// The age at which the operator's own certificate is made anew.
const RENEWAL: Duration = Duration::from_secs(365 * DAY_SECONDS);
const DAY_SECONDS: u64 = 24 * 60 * 60;

/// The authority of a data directory.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: Pem,
    data_dir: PathBuf,
}

impl Authority {
    /// Reads it, or makes it where there is none.
    ///
    /// # Errors
    /// When its files cannot be read, written or understood.
    pub(crate) fn open(data_dir: &Path) -> Result<Self> {
        let kept = data_dir.join("tls");
        std::fs::create_dir_all(&kept)
            .and_then(|()| std::fs::set_permissions(&kept, Permissions::from_mode(0o700)))
            .with_context(|| format!("make {}", kept.display()))?;
        let (key_path, certificate_path) = (kept.join("ca-key.pem"), kept.join("ca.pem"));
        let params = authority_params()?;
        let key = match std::fs::read_to_string(&key_path) {
            Ok(text) => KeyPair::from_pem(&text)
                .with_context(|| format!("understand {}", key_path.display()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
                let certificate = params.self_signed(&key)?;
                // The certificate first: a key whose certificate is missing would be no authority.
                write(&certificate_path, &certificate.pem(), PUBLIC)?;
                write(&key_path, &key.serialize_pem(), PRIVATE)?;
                key
            }
            Err(error) => {
                return Err(error).with_context(|| format!("read {}", key_path.display()));
            }
        };
        let certificate = Pem::read(&certificate_path)?;
        // Where clients are told to look for it; not what is trusted here.
        write(&data_dir.join(FILE), &certificate.text, PUBLIC)?;
        Ok(Self {
            issuer: Issuer::new(params, key),
            certificate,
            data_dir: data_dir.to_owned(),
        })
    }

    /// Its certificate.
    pub(crate) const fn certificate(&self) -> &Pem {
        &self.certificate
    }

    /// A certificate and its key for a server of these names and addresses.
    ///
    /// # Errors
    /// When one is neither.
    pub(crate) fn server(&self, names: Vec<String>) -> Result<(Pem, Pem)> {
        self.issue(names, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// Sees to it that the operator has a certificate to show where the Docker API is served over
    /// TLS.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn admit_operator(&self) -> Result<()> {
        let directory = self.data_dir.join("docker-tls");
        std::fs::create_dir_all(&directory)
            .and_then(|()| std::fs::set_permissions(&directory, Permissions::from_mode(0o700)))
            .with_context(|| format!("make {}", directory.display()))?;
        let authority = directory.join("ca.pem");
        let is_ours =
            std::fs::read_to_string(&authority).is_ok_and(|text| text == self.certificate.text);
        let made = std::fs::metadata(directory.join("cert.pem")).and_then(|file| file.modified());
        let is_young = made.is_ok_and(|made| made.elapsed().is_ok_and(|age| age < RENEWAL));
        if is_ours && is_young {
            return Ok(());
        }
        let (certificate, key) = self.issue(Vec::new(), ExtendedKeyUsagePurpose::ClientAuth)?;
        write(&directory.join("key.pem"), &key.text, PRIVATE)?;
        write(&directory.join("cert.pem"), &certificate.text, PUBLIC)?;
        // Last: it says that the others are there.
        write(&authority, &self.certificate.text, PUBLIC)
    }

    fn issue(&self, names: Vec<String>, purpose: ExtendedKeyUsagePurpose) -> Result<(Pem, Pem)> {
        let mut params = CertificateParams::new(names).context("names of a certificate")?;
        params.distinguished_name.push(DnType::CommonName, "admin");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![purpose];
        params.use_authority_key_identifier_extension = true;
        last(&mut params, CERTIFICATE_DAYS);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let pem = |text| Pem {
            text,
            path: self.certificate.path.clone(),
        };
        Ok((pem(certificate.pem()), pem(key.serialize_pem())))
    }
}

/// The same each time, so that the key alone makes the authority.
fn authority_params() -> Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, NAME);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    last(&mut params, AUTHORITY_DAYS);
    Ok(params)
}

fn last(params: &mut CertificateParams, days: u64) {
    let now = SystemTime::now();
    params.not_before = (now - Duration::from_secs(CLOCK_SKEW_DAYS * DAY_SECONDS)).into();
    params.not_after = (now + Duration::from_secs(days * DAY_SECONDS)).into();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_stays_the_same_and_its_key_is_the_operators() {
        let dir = tempfile::tempdir().unwrap();
        let first = Authority::open(dir.path()).unwrap();
        first.admit_operator().unwrap();
        let again = Authority::open(dir.path()).unwrap();
        assert_eq!(first.certificate.text, again.certificate.text);
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        let shown = read("docker-tls/cert.pem");
        again.admit_operator().unwrap();
        assert_eq!(read("docker-tls/cert.pem"), shown, "not made anew");
        for secret in ["tls/ca-key.pem", "docker-tls/key.pem"] {
            let mode = dir.path().join(secret).metadata().unwrap().permissions();
            assert_eq!(mode.mode() & 0o077, 0, "{secret}");
        }
    }

    #[test]
    fn another_authority_admits_the_operator_anew() {
        let dir = tempfile::tempdir().unwrap();
        Authority::open(dir.path())
            .unwrap()
            .admit_operator()
            .unwrap();
        let path = dir.path().join("docker-tls/cert.pem");
        let old = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_dir_all(dir.path().join("tls")).unwrap();
        Authority::open(dir.path())
            .unwrap()
            .admit_operator()
            .unwrap();
        assert_ne!(std::fs::read_to_string(&path).unwrap(), old);
    }
}
