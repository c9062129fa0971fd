//! A JSON document that gives its values to serde as strictly as a schema would.
//!
//! `serde_json` takes an array for a struct, field by field in order. A client that sends `[]` for
//! an object has made a mistake, and is told so. Called by [`crate::body::shape`].

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{Deserializer, Error as _, IntoDeserializer, Unexpected, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Error, Map, Value};

/// A value, and with it everything inside, whose structs are objects only.
pub(crate) struct Document(pub(crate) Value);

/// The fields of an object under the names that a struct has for them, whatever their case: servers
/// written in Go read them so, and clients rely on it. An exact name wins.
fn with_known_names(fields: Map<String, Value>, names: &[&str]) -> Map<String, Value> {
    let mut known = Map::new();
    let mut others = Vec::new();
    for (name, value) in fields {
        if names.contains(&name.as_str()) {
            known.insert(name, value);
        } else {
            others.push((name, value));
        }
    }
    for (name, value) in others {
        let meant = names.iter().find(|known| known.eq_ignore_ascii_case(&name));
        known
            .entry(meant.map_or(name, |meant| (*meant).to_owned()))
            .or_insert(value);
    }
    known
}

impl IntoDeserializer<'_, Error> for Document {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Document {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Array(values) => {
                let mut values = SeqDeserializer::new(values.into_iter().map(Self));
                let value = visitor.visit_seq(&mut values)?;
                values.end()?;
                Ok(value)
            }
            Value::Object(fields) => {
                let fields = fields.into_iter().map(|(name, value)| (name, Self(value)));
                let mut fields = MapDeserializer::new(fields);
                let value = visitor.visit_map(&mut fields)?;
                fields.end()?;
                Ok(value)
            }
            plain => plain.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.0 {
            Value::Array(_) => Err(Error::invalid_type(Unexpected::Seq, &visitor)),
            Value::Object(fields) => {
                Self(Value::Object(with_known_names(fields, names))).deserialize_any(visitor)
            }
            plain => Self(plain).deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0.is_null() {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}
