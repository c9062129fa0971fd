//! Between a member and what clients read and write of it.

use model::registered_image::{Consent, Member};
use model::{Id, ProjectId};
use serde_json::{Value, json};

use crate::glance::error::ApiError;
use crate::{id, time};

/// A member as clients read it.
pub(super) fn shown(image: Id, project: ProjectId, member: &Member) -> Value {
    json!({
        "image_id": image.to_string(),
        "member_id": id::show(project.0),
        "status": member.consent.as_str(),
        "created_at": time::seconds(member.created_at),
        "updated_at": time::seconds(member.updated_at),
        "schema": "/v2/schemas/member",
    })
}

/// The project that an image is to be shared with.
pub(super) fn member(body: &Value) -> Result<ProjectId, ApiError> {
    let Some(fields) = body.as_object() else {
        return Err(ApiError::invalid(
            "Expected a member in the form: {\"member\": \"image_id\"}",
        ));
    };
    let member = fields
        .get("member")
        .ok_or_else(|| ApiError::invalid("Member to be added not specified"))?;
    match member.as_str() {
        Some("") => Err(ApiError::invalid("Member can't be empty")),
        Some(text) => id::parse(text)
            .map(ProjectId)
            .ok_or_else(|| ApiError::invalid(format!("Member {text} is not a project"))),
        None => Err(ApiError::invalid(format!(
            "Member {member} is not a string"
        ))),
    }
}

/// What a member says.
pub(super) fn consent(body: &Value) -> Result<Consent, ApiError> {
    let Some(fields) = body.as_object() else {
        return Err(ApiError::invalid(
            "Expected a status in the form: {\"status\": \"status\"}",
        ));
    };
    let status = fields
        .get("status")
        .ok_or_else(|| ApiError::invalid("Status not specified"))?;
    Ok(match status.as_str() {
        Some("pending") => Consent::Pending,
        Some("accepted") => Consent::Accepted,
        Some("rejected") => Consent::Rejected,
        _ => {
            return Err(ApiError::invalid(format!(
                "Incorrect request: Status {status} is not one of: pending, accepted, rejected"
            )));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_of_other_shapes_are_refused() {
        for body in [
            json!([]),
            json!({}),
            json!({ "member": "" }),
            json!({ "member": 1 }),
        ] {
            assert!(member(&body).is_err(), "{body}");
        }
        for body in [
            json!([]),
            json!({}),
            json!({ "status": "maybe" }),
            json!({ "status": 1 }),
        ] {
            assert!(consent(&body).is_err(), "{body}");
        }
        assert_eq!(
            consent(&json!({ "status": "accepted" })).unwrap(),
            Consent::Accepted
        );
    }
}
