//! Request bodies in JSON: within a limit, an object, and of the right shape, or refused in the
//! service's own envelope.

use std::marker::PhantomData;

use axum::extract::{FromRequest, Request};
use axum::response::IntoResponse;
use edge::body::{JsonError, ReadError};
use serde::de::DeserializeOwned;

/// Bytes of the largest body. Uploads are streams, and have limits of their own.
const MOST_BYTES: usize = 1 << 20;

/// Why a body is not what was expected.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It is not JSON, or not of the right shape.
    #[error(transparent)]
    Json(#[from] JsonError),
}

/// A body of shape `T`; each service has its own `E` for what is wrong with one.
pub(crate) struct Json<T, E>(pub(crate) T, pub(crate) PhantomData<E>);

impl<T, E, S> FromRequest<S> for Json<T, E>
where
    T: DeserializeOwned,
    E: From<BodyError> + IntoResponse,
    S: Send + Sync,
{
    type Rejection = E;

    async fn from_request(request: Request, _: &S) -> Result<Self, E> {
        read(request)
            .await
            .map(|value| Self(value, PhantomData))
            .map_err(E::from)
    }
}

async fn read<T: DeserializeOwned>(request: Request) -> Result<T, BodyError> {
    let bytes = edge::body::read(request.into_body(), MOST_BYTES).await?;
    let document = serde_json::from_slice(&bytes).map_err(JsonError::Syntax)?;
    Ok(edge::body::shape(document)?)
}
