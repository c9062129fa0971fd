//! Images from registries and to them; trying passwords there, and looking around.
//!
//! Registries are spoken to as the operator, so all of this is the operator's, as the names of images
//! are.

pub use ::image::platform::Platform;
pub use ::image::reference::Reference;
use ::image::registry::{Access, RegistryError, Repository};
pub use ::image::registry::{Credentials, Found, Inspected, Settings};
pub use ::image::{LayerStage, PullStep, Pulled, PushStep, UploadStage};
use ::image::{PullError, PullRequest, PushError, PushRequest};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use model::event::Action;

use crate::error::with_causes;
use crate::image::tell;
use crate::policy::{self, Target};
use crate::registry::{Visitor, catalogue};
use crate::{ActionError, Caller, Cloud, ErrorKind};

/// How registries are spoken to.
#[must_use]
pub fn settings(cloud: &Cloud) -> &Settings {
    cloud.registries.settings()
}

/// What is to be pulled.
#[derive(Clone, Debug)]
pub struct NewPull {
    /// With a tag or a digest; without, every tag of its repository is pulled.
    pub reference: Reference,
    /// For what platform; `None` is this node's.
    pub platform: Option<Platform>,
    /// For the reference's own registry.
    pub credentials: Option<Credentials>,
}

/// Pulls an image, or all of a repository. Stops when the future is dropped.
///
/// # Errors
/// [`ErrorKind::NotFound`] when the registry has no such image, or none for the platform, or does not
/// show it; [`ErrorKind::Forbidden`] when it wants to know who asks, and
/// [`ErrorKind::Unauthenticated`] when it does not believe it; [`ErrorKind::Invalid`] when
/// it is not an image that can be used; [`ErrorKind::Unavailable`] when the registry cannot be
/// reached; [`ErrorKind::Internal`] when the disk is full or fails.
pub async fn pull(
    cloud: &Cloud,
    caller: &Caller,
    new: NewPull,
    progress: &(dyn Fn(PullStep) + Send + Sync),
) -> Result<Vec<Pulled>, ActionError> {
    caller.may(policy::Action::AddImage, &Target::OPERATOR)?;
    let mut references = vec![new.reference.clone()];
    if new.reference.tag().is_none() && new.reference.digest().is_none() {
        references = every_tag(cloud, &new).await?;
    }
    let mut pulled = Vec::new();
    for reference in references {
        let request = PullRequest {
            reference: reference.clone(),
            platform: new.platform.clone(),
            credentials: new.credentials.clone(),
        };
        let pulling = cloud.images.pull(&cloud.registries, &request, progress);
        let image = pulling
            .await
            .map_err(|error| pull_refused(&error, &reference, new.credentials.is_some()))?;
        let name = reference.familiar();
        tell(
            cloud,
            caller,
            &name,
            Some(&reference.familiar_name()),
            Action::Pulled,
        );
        pulled.push(image);
    }
    Ok(pulled)
}

async fn every_tag(cloud: &Cloud, new: &NewPull) -> Result<Vec<Reference>, ActionError> {
    let is_known = new.credentials.is_some();
    let refused = |error| pull_refused(&PullError::Registry(error), &new.reference, is_known);
    let ask = |place: Repository| async move { place.tags().await }.boxed();
    let tags = first_answer(cloud, &new.reference, new.credentials.clone(), ask)
        .await
        .map_err(refused)?;
    let references = tags.iter().map(|tag| {
        let text = format!("{}:{tag}", new.reference.repository());
        Reference::parse(&text).map_err(|error| {
            let message = format!("the registry has a tag {tag:?} that is none: {error}");
            ActionError::new(ErrorKind::Invalid, message)
        })
    });
    references.collect()
}

/// Pushes an image, or all of a repository where there is no tag. Stops when the future is dropped.
///
/// # Errors
/// [`ErrorKind::NotFound`] when there is no such image here; [`ErrorKind::Forbidden`] when the
/// registry does not take it from this user; and as [`pull`].
pub async fn push(
    cloud: &Cloud,
    caller: &Caller,
    reference: Reference,
    credentials: Option<Credentials>,
    progress: &(dyn Fn(PushStep) + Send + Sync),
) -> Result<(), ActionError> {
    caller.may(policy::Action::DownloadImage, &Target::OPERATOR)?;
    let request = PushRequest {
        reference,
        credentials,
    };
    let pushing = cloud.images.push(&cloud.registries, &request, progress);
    let pushed = pushing.await.map_err(|error| push_refused(&error))?;
    for (name, _) in pushed {
        tell(
            cloud,
            caller,
            &name.familiar(),
            Some(&name.familiar_name()),
            Action::Pushed,
        );
    }
    Ok(())
}

/// Shows a name and password to a registry; answers the token to keep instead of the password, where
/// there is one.
///
/// # Errors
/// [`ErrorKind::Unauthenticated`] when the registry does not take them.
pub async fn login(
    cloud: &Cloud,
    caller: &Caller,
    registry: &str,
    credentials: Credentials,
) -> Result<Option<String>, ActionError> {
    caller.may(policy::Action::AddImage, &Target::OPERATOR)?;
    let login = cloud.registries.login(registry, credentials);
    login.await.map_err(|error| registry_refused(&error))
}

/// What a registry has under a name, and for what platforms.
///
/// # Errors
/// As [`pull`].
pub async fn inspect(
    cloud: &Cloud,
    caller: &Caller,
    reference: &Reference,
    credentials: Option<Credentials>,
) -> Result<Inspected, ActionError> {
    caller.may(policy::Action::GetImage, &Target::OPERATOR)?;
    let is_known = credentials.is_some();
    let refused = |error| pull_refused(&PullError::Registry(error), reference, is_known);
    let what = reference.digest().or(reference.tag()).unwrap_or("latest");
    let ask = |place: Repository| async move { place.inspect(what).await }.boxed();
    first_answer(cloud, reference, credentials, ask)
        .await
        .map_err(refused)
}

/// What the first place answers that can; the last one's refusal where none can.
async fn first_answer<'a, T>(
    cloud: &Cloud,
    reference: &Reference,
    credentials: Option<Credentials>,
    ask: impl Fn(Repository) -> BoxFuture<'a, Result<T, RegistryError>>,
) -> Result<T, RegistryError> {
    for mirror in cloud.registries.mirrors(reference) {
        let address = mirror.address();
        match ask(mirror).await {
            Ok(answer) => return Ok(answer),
            Err(error) => tracing::warn!(
                mirror = address,
                error = &error as &dyn std::error::Error,
                "a mirror does not know an image; its own registry is asked"
            ),
        }
    }
    let registry = cloud
        .registries
        .repository(reference, Access::Pull, credentials)
        .await?;
    ask(registry).await
}

/// The repositories of our own registry that have `term` in their name, whosever they are.
///
/// # Errors
/// For who is not the operator.
pub fn search_own(cloud: &Cloud, caller: &Caller, term: &str) -> Result<Vec<Found>, ActionError> {
    caller.may(policy::Action::ListImages, &Target::OPERATOR)?;
    let visitor = Visitor::operator(caller.request_id.clone());
    let found = catalogue::search(cloud, &visitor, term).into_iter();
    Ok(found.map(Found::from).collect())
}

impl From<catalogue::Found> for Found {
    fn from(found: catalogue::Found) -> Self {
        Self {
            name: found.name,
            description: if found.public { "public" } else { "" }.to_owned(),
            ..Self::default()
        }
    }
}

/// Up to `limit` repositories of a registry that `term` finds, for nobody or for who has this password.
///
/// # Errors
/// When the registry cannot be reached, or searched.
pub async fn search(
    cloud: &Cloud,
    caller: &Caller,
    registry: &str,
    term: &str,
    limit: usize,
    credentials: Option<&Credentials>,
) -> Result<Vec<Found>, ActionError> {
    caller.may(policy::Action::ListImages, &Target::OPERATOR)?;
    let search = cloud.registries.search(registry, term, limit, credentials);
    search.await.map_err(|error| {
        if error.is_not_found() {
            let message = format!("the registry {registry} cannot be searched: {error}");
            return ActionError::new(ErrorKind::NotFound, message);
        }
        registry_refused(&error)
    })
}

/// A refused pull, in the words that Docker's users know.
/// Why nothing is pulled, for a caller who said who they are, or did not.
fn pull_refused(error: &PullError, reference: &Reference, is_known: bool) -> ActionError {
    if let Some(error) = error.registry() {
        let name = reference.familiar_name();
        let is_about_nobody = !is_known
            && error.is_unauthorized()
            && !matches!(error, RegistryError::NoCredentials { .. });
        let words = match error.code() {
            _ if error.is_denied() || is_about_nobody => format!(
                "pull access denied for {name}, repository does not exist or may require 'docker login'"
            ),
            "NAME_UNKNOWN" => format!("repository {name} not found"),
            "MANIFEST_UNKNOWN" => format!("manifest for {} not found", reference.familiar()),
            "" if error.is_not_found() => {
                format!("manifest for {} not found", reference.familiar())
            }
            _ => return registry_refused(error),
        };
        return ActionError::new(ErrorKind::NotFound, format!("{words}: {error}"));
    }
    let kind = match error {
        _ if error.is_hosts() => ErrorKind::Internal,
        PullError::NoPlatform { .. } | PullError::Platform { .. } => ErrorKind::NotFound,
        _ => ErrorKind::Invalid,
    };
    ActionError::new(kind, with_causes(error))
}

fn push_refused(error: &PushError) -> ActionError {
    let kind = match error {
        PushError::Registry(error) => return registry_refused(error),
        PushError::NoImage { .. } | PushError::NoTag { .. } => ErrorKind::NotFound,
        PushError::Digest => ErrorKind::Invalid,
        PushError::Manifest { .. } | PushError::ManifestDigest(_) | PushError::Content(_) => {
            ErrorKind::Internal
        }
    };
    ActionError::new(kind, with_causes(error))
}

fn registry_refused(error: &RegistryError) -> ActionError {
    let kind = match error {
        // A client that hears that it is not authenticated asks for a password then and there; that
        // is for a wrong one, not for none.
        RegistryError::NoCredentials { .. } => ErrorKind::Forbidden,
        _ if error.is_unauthorized() => ErrorKind::Unauthenticated,
        _ if error.is_denied() => ErrorKind::Forbidden,
        _ if error.is_not_found() => ErrorKind::NotFound,
        RegistryError::Address { .. } | RegistryError::OpenRealm { .. } => ErrorKind::Invalid,
        _ => ErrorKind::Unavailable,
    };
    ActionError::new(kind, with_causes(error))
}
