//! A look into images, and layers made of what is found there.

use std::io::{self, Write};
use std::sync::Arc;

use image::pack::PackError;
use image::{StepLayer, pipe};
use model::image::Image;
use rooted::Root;

use super::State;
use crate::StepError;

/// What an image has, without anything mounted in it.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) root: Arc<Root>,
}

impl State<'_> {
    /// The files of an image; of none, nothing.
    pub(super) fn view(&self, image: Option<&Image>) -> Result<View, StepError> {
        let empty = self.desk().new_dir()?;
        let shown = image.map_or("scratch", |image| &image.id);
        let failed = |problem: String| StepError::Look {
            image: shown.to_owned(),
            problem,
        };
        let mut layers = match image {
            Some(image) => self
                .build
                .store
                .layers(&image.id)
                .map_err(|error| failed(error.to_string()))?,
            None => Vec::new(),
        };
        if layers.is_empty() {
            let root = Root::open(&empty).map_err(|error| failed(error.to_string()))?;
            return Ok(View {
                root: Arc::new(root),
            });
        }
        // An overlay that cannot be written has two layers at least.
        layers.push(empty);
        let mount =
            runtime::overlay::detached(&layers, None).map_err(|error| failed(error.to_string()))?;
        Ok(View {
            root: Arc::new(Root::from_fd(mount)),
        })
    }
}

/// The stream of an archive that is written on a thread of its own.
pub(crate) fn packed(
    pack: impl FnOnce(&mut dyn Write) -> Result<(), PackError> + Send + 'static,
) -> StepLayer {
    let (mut out, archive) = pipe::outward();
    drop(tokio::task::spawn_blocking(move || {
        let packed = pack(&mut out);
        out.finish(packed.map_err(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            io::Error::other(format!("{error}: {}", cause.unwrap_or_default()))
        }));
    }));
    Box::new(archive)
}
