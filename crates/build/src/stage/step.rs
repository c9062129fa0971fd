//! The image of one instruction: taken from an earlier build, or made.
//!
//! A step is found again by the image below it, its instruction with all that it depends on, and
//! the configuration that it leaves.

use image::{StepLayer, StepOptions};
use model::image::Image;
use ring::digest::{SHA256, digest};
use serde_json::json;

use super::State;
use crate::StepError;
use crate::progress::Line;

/// One instruction's work.
pub(super) struct Step {
    /// For the history.
    pub(super) created_by: String,
    /// What else it depends on.
    pub(super) depends_on: String,
    /// What it changed of the files.
    pub(super) layer: Option<StepLayer>,
}

impl Step {
    /// Of an instruction that changes no files.
    pub(super) const fn of_configuration(created_by: String) -> Self {
        Self {
            created_by,
            depends_on: String::new(),
            layer: None,
        }
    }
}

/// Whether an image was made of the image of a step.
fn led_to(step: &Image, image: &Image) -> bool {
    let instructions = |image: &Image| -> Vec<String> {
        let steps = image.history.iter();
        steps.map(|step| step.created_by.clone()).collect()
    };
    image.layers.starts_with(&step.layers) && instructions(image).starts_with(&instructions(step))
}

impl State<'_> {
    /// What a step is found by.
    pub(super) fn key(&self, step: &Step) -> String {
        let parent = self.image.as_ref().map(|image| image.id.as_str());
        let epoch = self.build.clock.latest_mtime();
        let all = json!([
            parent,
            step.created_by,
            step.depends_on,
            self.defaults,
            self.author,
            self.build.request.surroundings,
            epoch,
        ]);
        hex::encode(digest(&SHA256, all.to_string().as_bytes()))
    }

    /// Goes on with the image that an earlier build made of the same; answers whether there is one.
    pub(super) async fn reuse(&mut self, key: String) -> bool {
        if self.build.request.no_cache {
            return false;
        }
        let Some((image, held)) = self.build.store.step(&key) else {
            return false;
        };
        let mut sources = self.build.cache_from.iter().flatten();
        if self.build.cache_from.is_some() && !sources.any(|source| led_to(&image, source)) {
            return false;
        }
        self.teller.tell(Line::Reused).await;
        self.teller.note(" ---> Using cache").await;
        self.teller.image(&image.id).await;
        self.held.push(held);
        self.image = Some(image);
        self.reused.push(key);
        true
    }

    /// Makes the image of a step, or goes on with the one that an earlier build made of the same.
    pub(super) async fn make(&mut self, step: Step) -> Result<(), StepError> {
        let key = self.key(&step);
        if step.layer.is_none() && self.reuse(key.clone()).await {
            return Ok(());
        }
        let options = StepOptions {
            parent: self.image.as_ref().map(|image| image.id.clone()),
            created_at: self.build.clock.now(),
            latest_mtime: self.build.clock.latest_mtime(),
            key,
            created_by: step.created_by,
            author: self.author.clone(),
            comment: String::new(),
            defaults: self.defaults.clone(),
        };
        let (image, held) = self.build.store.add_step(step.layer, options).await?;
        self.teller.image(&image.id).await;
        self.held.push(held);
        self.image = Some(image);
        Ok(())
    }
}
