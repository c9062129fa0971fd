//! A registered image: what a project says of an image, and who may have it.
//!
//! The content itself is the engine's ([`crate::image`]), or a file that was uploaded; this record
//! points to it and keeps it from being freed. Several may point to the same content.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::meta::{Id, Meta, ProjectId};

/// An image as its project knows it. Written by `actions` only.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct RegisteredImage {
    /// Identity and ownership. The name is shown to people only; the spec's counts.
    pub meta: Meta,
    /// What it is.
    pub spec: RegisteredImageSpec,
}

/// What a registered image is.
#[derive(Clone, Default, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct RegisteredImageSpec {
    /// What it is called; need not be unique.
    pub name: Option<String>,
    /// How far it is.
    pub state: ImageState,
    /// Who may have it.
    pub visibility: Visibility,
    /// What its data is wrapped in.
    pub wrapping: Option<Wrapping>,
    /// What its data is inside of that.
    pub format: Option<DiskFormat>,
    /// GiB of disk that it needs to run.
    pub min_disk_gib: u32,
    /// MiB of memory that it needs to run.
    pub min_ram_mib: u32,
    /// It cannot be removed.
    pub protected: bool,
    /// It is left out of lists that do not ask for it.
    pub hidden: bool,
    /// For whoever runs it, and for people.
    pub properties: BTreeMap<String, String>,
    /// For selection.
    pub tags: BTreeSet<String>,
    /// Projects that it is shared with.
    pub members: BTreeMap<ProjectId, Member>,
    /// Its data, once there is some.
    pub data: Option<ImageData>,
    /// Data that came and is to be imported.
    pub staged: Option<ImageFile>,
    /// The task that fills it now.
    pub task: Option<Id>,
    /// The last task that was to fill it failed.
    pub import_failed: bool,
}

impl RegisteredImageSpec {
    /// The engine's image that it runs as: `sha256:...`.
    #[must_use]
    pub fn content(&self) -> Option<&str> {
        self.data.as_ref()?.content.as_deref()
    }

    /// The file that was uploaded.
    #[must_use]
    pub fn file(&self) -> Option<&ImageFile> {
        self.data.as_ref()?.file.as_ref()
    }
}

/// How far an image is.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageState {
    /// It waits for its data.
    #[default]
    Queued,
    /// Its data comes in and is made ready at once.
    Saving,
    /// Its data comes in, or has, and is not made ready yet.
    Uploading,
    /// A task makes its data ready.
    Importing,
    /// It can be used.
    Active,
    /// It is there, but must not be used.
    Deactivated,
}

impl ImageState {
    /// The name, in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Saving => "saving",
            Self::Uploading => "uploading",
            Self::Importing => "importing",
            Self::Active => "active",
            Self::Deactivated => "deactivated",
        }
    }
}

/// Who may have an image.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Visibility {
    /// Its project.
    Private,
    /// Its project, and its members.
    #[default]
    Shared,
    /// Everybody; but only its project sees it in lists that do not ask for such.
    Community,
    /// Everybody.
    Public,
}

impl Visibility {
    /// The name, in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Shared => "shared",
            Self::Community => "community",
            Self::Public => "public",
        }
    }
}

/// What the data of an image is wrapped in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wrapping {
    /// Nothing: it is the root file system, as tar, or anything that is not to be run.
    Bare,
    /// An archive of `docker save`, or an OCI layout as tar.
    Docker,
}

impl Wrapping {
    /// The name, in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Docker => "docker",
        }
    }
}

/// What the data of an image is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiskFormat {
    /// Just its bytes.
    Raw,
}

impl DiskFormat {
    /// The name, in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
        }
    }
}

/// The data of an image.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageData {
    /// Bytes of it.
    pub size_bytes: u64,
    /// The engine's image that it runs as, `sha256:...`; `None` where it cannot be run.
    pub content: Option<String>,
    /// The file that was uploaded; `None` where the engine's image came some other way.
    pub file: Option<ImageFile>,
}

/// A file that was uploaded.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageFile {
    /// Digest that it is kept by: `sha256:...`.
    pub id: String,
    /// Bytes of it.
    pub size_bytes: u64,
    /// Hexadecimal digits of its MD5.
    pub md5: String,
    /// Hexadecimal digits of its SHA-512.
    pub sha512: String,
}

/// A project that an image is shared with.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Member {
    /// What it says to that.
    pub consent: Consent,
    /// When it became a member.
    pub created_at: Timestamp,
    /// When it last said something.
    pub updated_at: Timestamp,
}

/// What a member says to an image that is shared with it.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consent {
    /// Nothing yet: it may use the image, and does not see it in lists.
    #[default]
    Pending,
    /// It wants to see the image in lists.
    Accepted,
    /// It does not.
    Rejected,
}

impl Consent {
    /// The name, in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
        }
    }
}
