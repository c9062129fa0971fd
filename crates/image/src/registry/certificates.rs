//! How servers prove who they are: the host's authorities, those for one registry, or not at all.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::RegistryError;

/// Whose word is good enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// An authority's, for the name that was asked.
    Vouched,
    /// Anyone's: the operator said so.
    Anyone,
}

/// Settings for connections to servers.
#[derive(Debug)]
pub(crate) struct Certificates {
    provider: Arc<CryptoProvider>,
    /// The host's authorities, read when they are first needed.
    roots: OnceLock<RootCertStore>,
}

impl Certificates {
    pub(crate) fn new() -> Self {
        Self {
            provider: Arc::new(ring::default_provider()),
            roots: OnceLock::new(),
        }
    }

    /// Settings for servers that nothing special is known about.
    pub(crate) fn usual(&self, trust: Trust) -> ClientConfig {
        let authorities = match trust {
            Trust::Vouched => self.roots().clone(),
            Trust::Anyone => RootCertStore::empty(),
        };
        let builder = self.builder();
        match trust {
            Trust::Vouched => builder.with_root_certificates(authorities),
            Trust::Anyone => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(NoVerification {
                    provider: Arc::clone(&self.provider),
                })),
        }
        .with_no_client_auth()
    }

    /// Settings for the one registry whose files are in `dir`; `None` where there is no such
    /// directory.
    ///
    /// `*.crt` are authorities beside the host's; `X.cert` and `X.key` show who we are.
    pub(crate) fn of(
        &self,
        dir: &Path,
        trust: Trust,
    ) -> Result<Option<ClientConfig>, RegistryError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| RegistryError::Certificates { path, source }
        };
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(dir)(error)),
        };
        let mut roots = self.roots().clone();
        let mut identity = None;
        for entry in entries {
            let path = entry.map_err(failed(dir))?.path();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("crt") => {
                    for certificate in certificates(&path).map_err(failed(&path))? {
                        roots
                            .add(certificate)
                            .map_err(io::Error::other)
                            .map_err(failed(&path))?;
                    }
                }
                Some("cert") => {
                    let chain = certificates(&path).map_err(failed(&path))?;
                    let key_path = path.with_extension("key");
                    let key = PrivateKeyDer::from_pem_file(&key_path)
                        .map_err(io::Error::other)
                        .map_err(failed(&key_path))?;
                    identity = Some((path, chain, key));
                }
                _ => {}
            }
        }
        let builder = self.builder();
        let builder = match trust {
            Trust::Vouched => builder.with_root_certificates(roots),
            Trust::Anyone => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(NoVerification {
                    provider: Arc::clone(&self.provider),
                })),
        };
        let Some((path, chain, key)) = identity else {
            return Ok(Some(builder.with_no_client_auth()));
        };
        builder
            .with_client_auth_cert(chain, key)
            .map(Some)
            .map_err(io::Error::other)
            .map_err(failed(&path))
    }

    fn builder(&self) -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
        #[expect(clippy::expect_used, reason = "the provider has both versions of TLS")]
        ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .expect("ring has TLS 1.2 and 1.3")
    }

    fn roots(&self) -> &RootCertStore {
        self.roots.get_or_init(|| {
            let found = rustls_native_certs::load_native_certs();
            for error in found.errors {
                tracing::warn!(%error, "read the host's certificate authorities");
            }
            let mut roots = RootCertStore::empty();
            let (added, ignored) = roots.add_parsable_certificates(found.certs);
            tracing::debug!(added, ignored, "read the host's certificate authorities");
            roots
        })
    }
}

/// Where the files for a registry are.
pub(crate) fn directory(all: &Path, authority: &str) -> PathBuf {
    all.join(authority)
}

fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(io::Error::other)
}

/// Takes any certificate. The connection is still one to whoever has its key.
#[derive(Debug)]
struct NoVerification {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for NoVerification {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
