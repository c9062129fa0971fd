//! Metadata as clients write it: texts by name.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::nova::error::ApiError;
use crate::nova::fields::{Fields, text_of};

/// Characters of the longest name and value.
const LONGEST: usize = 255;
/// The names that Nova takes, as its message has them.
const NAMES: &str = "'^[a-zA-Z0-9-_:. ]{1,255}$'";

/// Reads an object of texts.
pub(in crate::nova) fn read(value: Value) -> Result<BTreeMap<String, String>, ApiError> {
    let mut fields = Fields::object_of(value, "metadata")?;
    let names: Vec<String> = fields.names().map(str::to_owned).collect();
    let mut metadata = BTreeMap::new();
    for name in names {
        if !is_name(&name) {
            return Err(fields.complain(&format!(
                "'{name}' does not match any of the regexes: {NAMES}"
            )));
        }
        if let Some(value) = fields.take(&name) {
            let value = text_of(&name, value, &(0..=LONGEST))?;
            metadata.insert(name, value);
        }
    }
    Ok(metadata)
}

fn is_name(name: &str) -> bool {
    let fits = |one: char| one.is_ascii_alphanumeric() || "-_:. ".contains(one);
    (1..=LONGEST).contains(&name.len()) && name.chars().all(fits)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn metadata_is_texts_by_plain_names() {
        assert_eq!(read(json!({ "a.b": "1" })).unwrap()["a.b"], "1");
        for wrong in [
            json!({ "a/b": "1" }),
            json!({ "a": 1 }),
            json!([]),
            json!({ "": "" }),
        ] {
            assert!(read(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
