//! Leads imports by address to other machines' servers, as far as the configuration allows.

use actions::downloads::{Downloads, IsInside, Places, refused};
use actions::nodes::Archive;
use actions::{ActionError, ErrorKind};
use async_trait::async_trait;
use edge::download::{self, DownloadError, Server};

/// Downloads by HTTP.
pub(crate) struct Http {
    places: Places,
}

impl Http {
    pub(crate) const fn new(places: Places) -> Self {
        Self { places }
    }
}

#[async_trait]
impl Downloads for Http {
    fn check(&self, uri: &str) -> Result<(), ActionError> {
        match download::place(uri) {
            Ok((host, port)) if self.places.allow(&host, port) => Ok(()),
            _ => Err(refused(uri)),
        }
    }

    async fn get(&self, uri: &str, is_inside: &IsInside) -> Result<Archive, ActionError> {
        let may = |server: Server<'_>| {
            let is_ours = server.is_own || is_inside(server.address);
            self.places
                .allow_at(server.host, server.port, server.address, is_ours)
        };
        match download::get(uri, may).await {
            Ok(file) => Ok(Box::new(file)),
            Err(DownloadError::NotAllowed { uri } | DownloadError::Address { uri }) => {
                Err(refused(&uri))
            }
            Err(error) => {
                let words = actions::error::with_causes(&error);
                Err(ActionError::new(ErrorKind::Unavailable, words))
            }
        }
    }
}
