//! `POST /images/create?fromImage=`: an image from a registry.

use std::sync::atomic::{AtomicBool, Ordering};

use actions::distribution::{self, LayerStage, NewPull, Platform, PullStep, Reference};
use axum::response::Response;
use http::HeaderMap;

use super::progress::{Lines, told};
use super::{credentials, short_digest};
use crate::error::ApiError;
use crate::front::At;

/// A platform: `os[/architecture[/variant]]`, or an architecture.
pub(crate) fn platform_of(text: &str) -> Result<Platform, ApiError> {
    let parsed: Result<Platform, _> = text.parse();
    parsed.map_err(|error| ApiError::invalid(error.to_string()))
}

/// Pulls an image, or all of a repository where no tag is given.
pub(crate) async fn pull(at: At, headers: &HeaderMap) -> Result<Response, ApiError> {
    let reference = asked_for(at.form.get("fromImage"), at.form.get("tag"))?;
    let platform = at.form.non_empty("platform").filter(|_| at.version.has(32));
    let platform = platform.map(platform_of).transpose()?;
    let new = NewPull {
        reference: reference.clone(),
        platform,
        credentials: credentials::read(headers),
    };
    told(|lines| async move {
        let is_new = AtomicBool::new(false);
        let tell = |step| {
            if let PullStep::Done(pulled) = &step {
                is_new.fetch_or(pulled.is_new, Ordering::Relaxed);
            }
            tell(&lines, step);
        };
        distribution::pull(&at.cloud, &at.caller, new, &tell).await?;
        let what = if is_new.into_inner() {
            "Downloaded newer image"
        } else {
            "Image is up to date"
        };
        lines.status(&format!("Status: {what} for {}", reference.familiar()));
        Ok(())
    })
    .await
}

/// The reference of a name with a tag or a digest given apart.
fn asked_for(name: &str, tag: &str) -> Result<Reference, ApiError> {
    // QUIRK(docker pull -a): some send a name with a colon and nothing after it.
    let name = name.strip_suffix(':').unwrap_or(name);
    let text = if tag.contains(':') {
        let reference = Reference::parse(name).map_err(wrong)?;
        format!("{}@{tag}", reference.repository())
    } else {
        super::transfer::reference(name, tag)
    };
    Reference::parse(&text).map_err(wrong)
}

pub(super) fn wrong(error: impl std::fmt::Display) -> ApiError {
    ApiError::invalid(error.to_string())
}

fn tell(lines: &Lines, step: PullStep) {
    match step {
        PullStep::Found { what, repository } => lines.send(&serde_json::json!({
            "status": format!("Pulling from {repository}"), "id": what,
        })),
        PullStep::Known { layer } => lines.status_of(&short_digest(&layer), "Already exists"),
        PullStep::Layer {
            layer,
            stage,
            total_bytes,
        } => tell_stage(lines, &short_digest(&layer), stage, total_bytes),
        PullStep::Done(pulled) => lines.status(&format!("Digest: {}", pulled.digest)),
    }
}

fn tell_stage(lines: &Lines, layer: &str, stage: LayerStage, total_bytes: u64) {
    let words = match stage {
        LayerStage::Downloading { current_bytes } => {
            lines.progress_of(layer, "Downloading", current_bytes, total_bytes);
            return;
        }
        LayerStage::Extracting => {
            lines.progress_of(layer, "Extracting", total_bytes, total_bytes);
            return;
        }
        LayerStage::Queued => "Pulling fs layer",
        LayerStage::Waiting => "Waiting",
        LayerStage::Retrying => "Retrying",
        LayerStage::Verifying => "Verifying Checksum",
        LayerStage::Downloaded => "Download complete",
        LayerStage::Pulled => "Pull complete",
    };
    lines.status_of(layer, words);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_given_apart_may_be_a_digest() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (name, tag, full) in [
            ("busybox", "", "docker.io/library/busybox"),
            ("busybox:", "", "docker.io/library/busybox"),
            ("busybox:1", "", "docker.io/library/busybox:1"),
            ("busybox", "1", "docker.io/library/busybox:1"),
            ("localhost:5000/a:1", "2", "localhost:5000/a:2"),
        ] {
            assert_eq!(asked_for(name, tag).unwrap().to_string(), full);
        }
        assert_eq!(
            asked_for("a/b:1", &digest).unwrap().to_string(),
            format!("docker.io/a/b@{digest}")
        );
        for (name, tag) in [("", ""), ("A", ""), ("a", "b c"), ("a", "sha256:1")] {
            assert_eq!(asked_for(name, tag).unwrap_err().status.as_u16(), 400);
        }
    }
}
