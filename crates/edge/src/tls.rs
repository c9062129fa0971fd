//! The server's side of TLS: who it is, and which clients it lets in.
//!
//! The binary reads or makes the files; [`crate::server`] speaks.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use crate::server::Io;

/// Whom a server shows itself to be: a certificate and its key.
#[derive(Clone)]
pub struct Identity(TlsAcceptor);

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

/// Certificates in PEM, and where they come from.
#[derive(Clone, Debug)]
pub struct Pem {
    /// The text.
    pub text: String,
    /// The file, for errors.
    pub path: PathBuf,
}

impl Pem {
    /// Reads a file.
    ///
    /// # Errors
    /// [`IdentityError::Read`].
    pub fn read(path: &Path) -> Result<Self, IdentityError> {
        match std::fs::read_to_string(path) {
            Ok(text) => Ok(Self {
                text,
                path: path.to_owned(),
            }),
            Err(error) => Err(IdentityError::Read(path.to_owned(), error)),
        }
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
        let read: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(self.text.as_bytes()).collect();
        match read {
            Ok(certificates) if !certificates.is_empty() => Ok(certificates),
            _ => Err(IdentityError::NoCertificate(self.path.clone())),
        }
    }
}

/// Why TLS cannot be spoken with these files.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file cannot be read.
    #[error("read {}", .0.display())]
    Read(PathBuf, #[source] io::Error),
    /// There is no certificate in it.
    #[error("{}: no certificate in PEM", .0.display())]
    NoCertificate(PathBuf),
    /// There is no private key in it.
    #[error("{}: no private key in PEM", .0.display())]
    NoKey(PathBuf),
    /// The certificate is not that of the key, or neither is of a kind that is spoken.
    #[error("the certificate of {} does not go with the key of {}", certificate.display(), key.display())]
    Unfit {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's.
        key: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// The certificate of an authority is none.
    #[error("{}: not the certificate of an authority", .0.display())]
    Authority(PathBuf, #[source] rustls::Error),
    /// Clients cannot be told apart with what it says.
    #[error("{}: clients cannot be verified by it", .0.display())]
    Verifier(PathBuf, #[source] VerifierBuilderError),
}

impl Identity {
    /// Takes a certificate, with those between it and its authority, and its key.
    ///
    /// With `clients` only clients that show a certificate of that authority are let in.
    ///
    /// # Errors
    /// [`IdentityError`], with the file.
    pub fn new(certificate: &Pem, key: &Pem, clients: Option<&Pem>) -> Result<Self, IdentityError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let chain = certificate.certificates()?;
        let private = PrivateKeyDer::from_pem_slice(key.text.as_bytes())
            .map_err(|_| IdentityError::NoKey(key.path.clone()))?;
        let unfit = |source| IdentityError::Unfit {
            certificate: certificate.path.clone(),
            key: key.path.clone(),
            source,
        };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(unfit)?;
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                for certificate in authority.certificates()? {
                    roots
                        .add(certificate)
                        .map_err(|error| IdentityError::Authority(authority.path.clone(), error))?;
                }
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                        .build()
                        .map_err(|error| IdentityError::Verifier(authority.path.clone(), error))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder.with_single_cert(chain, private).map_err(unfit)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    pub(crate) async fn accept(&self, stream: Box<dyn Io>) -> io::Result<Box<dyn Io>> {
        Ok(Box::new(self.0.accept(stream).await?))
    }
}
