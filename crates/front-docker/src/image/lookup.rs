//! Finding an image by name, digest, identifier or the beginning of one.

use std::sync::Arc;

use actions::image;
use model::image::Image;

use crate::error::ApiError;
use crate::front::At;

/// The image of this reference; a missing one in the words that make clients pull.
pub(crate) fn find(at: &At, reference: &str) -> Result<Arc<Image>, ApiError> {
    Ok(image::get(&at.cloud, &at.caller, reference)?)
}

/// Refuses an image that is not for the platform asked for: `os[/architecture[/variant]]`.
pub(crate) fn check_platform(image: &Image, platform: &str) -> Result<(), ApiError> {
    let own = [
        image.os.as_str(),
        image.architecture.as_str(),
        image.variant.as_str(),
    ];
    let wanted: Vec<_> = platform.split('/').collect();
    if wanted.len() > own.len() || wanted.iter().any(|part| part.is_empty()) {
        return Err(ApiError::invalid(format!(
            "{platform:?} is an invalid platform: it is not os/architecture/variant"
        )));
    }
    let names = |name: &str| match name {
        "x86_64" | "x86-64" => "amd64".to_owned(),
        "aarch64" => "arm64".to_owned(),
        other => other.to_lowercase(),
    };
    // Alone, a word is an operating system or an architecture.
    let matches = match wanted.as_slice() {
        [one] => names(one) == own[0] || names(one) == names(own[1]),
        parts => parts
            .iter()
            .zip(own)
            .all(|(part, own)| own.is_empty() || names(part) == names(own)),
    };
    if matches {
        return Ok(());
    }
    Err(ApiError::not_found(format!(
        "image with reference {} was found but its platform ({}/{}) does not match the specified platform ({platform})",
        image
            .tags
            .first()
            .map_or(image.id.as_str(), |tag| super::translate::familiar(tag)),
        image.os,
        image.architecture
    )))
}
