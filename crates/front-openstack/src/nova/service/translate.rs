//! What clients want to change of a service.

use serde_json::{Value, json};

use crate::front::At;
use crate::nova::error::ApiError;
use crate::nova::fields::Fields;

/// Characters of the longest name and reason.
const LONGEST: usize = 255;

/// What to change of a service.
pub(super) struct Change {
    pub(super) cordon: Option<Cordon>,
    pub(super) forced_down: Option<bool>,
}

/// Whether new servers are kept away, and why.
pub(super) struct Cordon {
    pub(super) is_wanted: bool,
    pub(super) reason: Option<String>,
}

/// What to change of the service that the body names, and the answer to it.
pub(super) struct Named {
    pub(super) host: String,
    pub(super) binary: String,
    pub(super) change: Change,
    pub(super) answer: Value,
}

/// A change from 2.53 on.
pub(super) fn change(body: Value) -> Result<Change, ApiError> {
    let mut fields = Fields::document(body)?;
    let status = fields.one_of("status", &["enabled", "disabled"])?;
    let reason = fields.text("disabled_reason", 1..=LONGEST)?;
    let forced_down = fields.switch("forced_down")?;
    fields.done()?;
    if status.as_deref() == Some("enabled") && reason.is_some() {
        return Err(ApiError::invalid(
            "Specifying 'disabled_reason' with status 'enabled' is invalid.",
        ));
    }
    if status.is_none() && forced_down.is_none() {
        return Err(ApiError::invalid(
            "No updates were requested. Fields 'status' or 'forced_down' should be specified.",
        ));
    }
    let cordon = status.map(|status| Cordon {
        is_wanted: status == "disabled",
        reason,
    });
    Ok(Change {
        cordon,
        forced_down,
    })
}

/// A change up to 2.52, of which the path says what is wanted.
pub(super) fn named_change(at: &At, wanted: &str, body: Value) -> Result<Named, ApiError> {
    let mut fields = Fields::document(body)?;
    let host = fields.text("host", 1..=LONGEST)?;
    let host = fields.required("host", host)?;
    let binary = fields.text("binary", 1..=LONGEST)?;
    let binary = fields.required("binary", binary)?;
    let reason = fields.text("disabled_reason", 1..=LONGEST)?;
    let forced_down = match at.minor {
        11.. => fields.switch("forced_down")?,
        _ => None,
    };
    fields.done()?;
    let mut answer = json!({ "host": host, "binary": binary });
    let missing = |what: &str| ApiError::invalid(format!("Missing {what} field"));
    let cordon = |is_wanted: bool, reason: Option<String>| Change {
        cordon: Some(Cordon { is_wanted, reason }),
        forced_down: None,
    };
    let change = match wanted {
        "enable" => cordon(false, None),
        "disable" => cordon(true, None),
        "disable-log-reason" => {
            let reason = reason.ok_or_else(|| missing("disabled reason"))?;
            answer["disabled_reason"] = json!(reason);
            cordon(true, Some(reason))
        }
        "force-down" if at.minor >= 11 => {
            let forced_down = forced_down.ok_or_else(|| missing("forced_down"))?;
            answer["forced_down"] = json!(forced_down);
            Change {
                cordon: None,
                forced_down: Some(forced_down),
            }
        }
        _ => return Err(ApiError::not_found("Unknown action")),
    };
    if let Some(cordon) = &change.cordon {
        answer["status"] = json!(if cordon.is_wanted {
            "disabled"
        } else {
            "enabled"
        });
    }
    Ok(Named {
        host,
        binary,
        change,
        answer,
    })
}
