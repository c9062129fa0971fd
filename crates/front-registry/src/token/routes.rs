//! `/v2/token`: GET with a user and password in `Authorization`, POST with a form.

use actions::Cloud;
use actions::registry::token::{self, Scope};
use actions::registry::{RegistryError, Visitor};
use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use edge::observe::RequestId;
use http::StatusCode;

use super::wire::{Document, Refusal};
use crate::auth;
use crate::error::ApiError;
use crate::query::Query;

/// Bytes of the largest form.
const MOST_BYTES: usize = 64 << 10;

/// A token for whoever the header says, or for nobody.
pub(crate) async fn ask(
    State(cloud): State<Cloud>,
    request: Request,
) -> Result<Response, ApiError> {
    let id = request_id(&request);
    let visitor = match auth::basic(request.headers())? {
        Some(basic) => token::log_in(&cloud, &basic.user, &basic.password, id).await?,
        None => Visitor::nobody(id),
    };
    let query = Query::parse(request.uri());
    Ok(answer(&cloud, &visitor, &query)?)
}

/// The same, as OAuth asks.
pub(crate) async fn post(
    State(cloud): State<Cloud>,
    request: Request,
) -> Result<Response, ApiError> {
    let id = request_id(&request);
    let form = edge::body::read(Body::new(request.into_body()), MOST_BYTES).await?;
    let form = Query::of_form(&form);
    match form.get("grant_type") {
        Some("password") => {}
        Some(other) => {
            return Ok(refused(
                "unsupported_grant_type",
                format!("grant_type {other:?} is not supported; use password"),
            ));
        }
        None => {
            return Ok(refused(
                "invalid_request",
                "grant_type is missing".to_owned(),
            ));
        }
    }
    let (Some(user), Some(password)) = (form.get("username"), form.get("password")) else {
        let missing = "username or password is missing".to_owned();
        return Ok(refused("invalid_request", missing));
    };
    match token::log_in(&cloud, user, password, id).await {
        Ok(visitor) => Ok(answer(&cloud, &visitor, &form)?),
        Err(RegistryError::Unauthenticated) => Ok(refused(
            "invalid_grant",
            "the user name or the password is wrong".to_owned(),
        )),
        Err(error) => Err(error.into()),
    }
}

fn answer(cloud: &Cloud, visitor: &Visitor, query: &Query) -> Result<Response, RegistryError> {
    // Clients send several, or one with spaces.
    let scopes: Vec<Scope> = query
        .all("scope")
        .flat_map(str::split_whitespace)
        .filter_map(|scope| scope.parse().ok())
        .collect();
    let granted = token::grant(cloud, visitor, &scopes)?;
    Ok(Json(Document::from(granted)).into_response())
}

fn refused(error: &'static str, error_description: String) -> Response {
    let refusal = Refusal {
        error,
        error_description,
    };
    (StatusCode::BAD_REQUEST, Json(refusal)).into_response()
}

fn request_id(request: &Request) -> String {
    let id = request.extensions().get::<RequestId>();
    id.map_or_else(String::new, |id| id.0.clone())
}
