//! Between a key pair and what clients read and write of it.

use model::key_pair::KeyPair;
use serde_json::{Value, json};

use crate::front::At;
use crate::id;
use crate::nova::error::ApiError;
use crate::nova::fields::Fields;

/// Characters of the longest public key that is looked at.
const LONGEST_KEY: usize = 65_535;

/// A key pair in a list.
pub(super) fn brief(at: &At, pair: &KeyPair) -> Value {
    let mut shown = json!({
        "name": pair.meta.name,
        "public_key": pair.public_key,
        "fingerprint": pair.fingerprint,
    });
    if at.minor >= 2 {
        shown["type"] = json!("ssh");
    }
    shown
}

/// A key pair that was just made.
pub(super) fn created(at: &At, pair: &KeyPair) -> Value {
    let mut shown = brief(at, pair);
    shown["user_id"] = json!(id::show(pair.meta.project.0));
    shown
}

/// A key pair as clients read it.
pub(super) fn shown(at: &At, pair: &KeyPair) -> Value {
    let created_at = pair.meta.created_at.strftime("%Y-%m-%dT%H:%M:%S.%6f");
    // A number of 31 bits is wanted; part of the identity is as good as any.
    let [.., a, b, c, d] = *pair.meta.id.as_bytes();
    let mut shown = created(at, pair);
    shown["id"] = json!(u32::from_be_bytes([a, b, c, d]) >> 1);
    shown["created_at"] = json!(created_at.to_string());
    shown["updated_at"] = Value::Null;
    shown["deleted"] = json!(false);
    shown["deleted_at"] = Value::Null;
    shown
}

/// A key pair to make.
pub(super) struct New {
    pub(super) name: String,
    pub(super) public_key: Option<String>,
    pub(super) user: Option<String>,
}

/// What a client wants made. From 2.92 on a public key must be brought.
pub(super) fn new(at: &At, body: Value) -> Result<New, ApiError> {
    let mut fields = Fields::of(body, "keypair")?;
    let name = fields.text("name", 1..=255)?;
    let name = fields.required("name", name)?;
    let public_key = fields.text("public_key", 0..=LONGEST_KEY)?;
    if at.minor >= 92 {
        fields.required("public_key", public_key.as_ref())?;
    }
    let kind = match at.minor {
        2.. => fields.one_of("type", &["ssh", "x509"])?,
        _ => None,
    };
    let user = match at.minor {
        10.. => fields.text("user_id", 1..=255)?,
        _ => None,
    };
    fields.done()?;
    if kind.as_deref() == Some("x509") {
        return Err(ApiError::invalid(
            "Keypair data is invalid: type x509 is for machines that are logged in to by WinRM; \
             containers are not",
        ));
    }
    Ok(New {
        name,
        public_key,
        user,
    })
}
