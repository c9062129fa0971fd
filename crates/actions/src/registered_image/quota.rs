//! How many images a project may have, and how large: limits that the identity service keeps for the
//! image service. Without one there is no end.
//!
//! They are checked in the batch that makes more of it, as all quotas are ([`crate::quota`]). Images
//! that only Docker knows are not counted.

use model::ProjectId;
use model::registered_image::{ImageState, RegisteredImage};
use store::Transaction;

use crate::identity::limit;
use crate::policy::{Action, Target};
use crate::quota::Gate;
use crate::{ActionError, Caller, Cloud, ErrorKind};

/// The kind of the service that counts.
const SERVICE: &str = "image";

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Counted {
    /// Bytes of data; limited in MiB.
    Bytes,
    /// Bytes of data that waits for its import; limited in MiB.
    StagedBytes,
    /// Images.
    Images,
    /// Images whose data comes in, or waits for its import.
    Uploading,
}

impl Counted {
    const ALL: [Self; 4] = [
        Self::Bytes,
        Self::StagedBytes,
        Self::Images,
        Self::Uploading,
    ];

    /// What the limit is called.
    ///
    /// Source: glance, `glance/quota/keystone.py`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bytes => "image_size_total",
            Self::StagedBytes => "image_stage_total",
            Self::Images => "image_count_total",
            Self::Uploading => "image_count_uploading",
        }
    }

    /// How much of it makes one of what is limited.
    const fn unit(self) -> u64 {
        match self {
            Self::Bytes | Self::StagedBytes => 1 << 20,
            Self::Images | Self::Uploading => 1,
        }
    }

    /// How much of it an image is.
    fn of(self, image: &RegisteredImage) -> u64 {
        let spec = &image.spec;
        match self {
            Self::Bytes => spec.data.as_ref().map_or(0, |data| data.size_bytes),
            Self::StagedBytes => spec.staged.as_ref().map_or(0, |file| file.size_bytes),
            Self::Images => 1,
            Self::Uploading => u64::from(matches!(
                spec.state,
                ImageState::Saving | ImageState::Uploading | ImageState::Importing
            )),
        }
    }
}

/// How much there may be of something, and how much there is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Figure {
    /// Of what.
    pub counted: Counted,
    /// How much, in images or MiB; -1 is without end.
    pub limit: i64,
    /// How much there is, in images or whole MiB.
    pub used: u64,
}

/// What the caller's project may have, and has.
///
/// # Errors
/// [`ErrorKind::Forbidden`].
pub fn usage(cloud: &Cloud, caller: &Caller) -> Result<[Figure; 4], ActionError> {
    let project = caller.project();
    caller.may(Action::ListImages, &Target::project(project))?;
    Ok(Counted::ALL.map(|counted| Figure {
        counted,
        limit: limit_of(cloud, project, counted).unwrap_or(-1),
        used: used(cloud, project, counted) / counted.unit(),
    }))
}

fn limit_of(cloud: &Cloud, project: ProjectId, counted: Counted) -> Option<i64> {
    limit::of_project(cloud, project, SERVICE, counted.name())
}

fn used(cloud: &Cloud, project: ProjectId, counted: Counted) -> u64 {
    let all = cloud.store.list::<RegisteredImage>();
    all.iter()
        .filter(|(_, found)| found.value.meta.project == project)
        .map(|(_, found)| counted.of(&found.value))
        .sum()
}

/// Refuses what would be more than a project may have, and puts the project's gate into the batch
/// that makes it.
///
/// # Errors
/// [`ErrorKind::QuotaExceeded`].
pub(super) fn claim(
    cloud: &Cloud,
    transaction: &mut Transaction,
    project: ProjectId,
    counted: Counted,
    wanted: u64,
) -> Result<(), ActionError> {
    let gate = Gate::of(cloud, project);
    let Some(limit) = limit_of(cloud, project, counted) else {
        return Ok(());
    };
    let used = used(cloud, project, counted);
    let unit = counted.unit();
    if u64::try_from(limit).is_ok_and(|limit| used + wanted > limit.saturating_mul(unit)) {
        return Err(ActionError::new(
            ErrorKind::QuotaExceeded,
            format!(
                "Project {} is over a limit for [Resource {} is over limit of {limit} due to current usage {} and delta {}]",
                project.0.simple(),
                counted.name(),
                used / unit,
                wanted.div_ceil(unit)
            ),
        ));
    }
    gate.pass(transaction);
    Ok(())
}
