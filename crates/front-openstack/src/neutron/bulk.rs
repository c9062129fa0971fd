//! Creation of one object, or of several in one request: all of them, or none.
//!
//! Called by the nouns that Neutron's clients make in bulk; what a noun is, and how it is made and
//! unmade, they say.

use actions::ActionError;
use axum::response::Response;
use serde_json::Value;

use super::answer::{self, Noun, Object};
use super::error::ApiError;
use super::fields::Bodies;

/// Makes what a body describes. `read` takes one object's attributes; what was made before one that
/// cannot be, `unmake` takes away again.
pub(super) async fn create<New, Made, Making, Unmaking>(
    noun: &Noun,
    body: Value,
    read: impl Fn(Value) -> Result<New, ApiError>,
    make: impl Fn(New) -> Making,
    unmake: impl Fn(&Made) -> Unmaking,
    shown: impl Fn(&Made) -> Object,
) -> Result<Response, ApiError>
where
    Making: Future<Output = Result<Made, ActionError>>,
    Unmaking: Future<Output = Result<(), ActionError>>,
{
    let bodies = match Bodies::of(body, noun)? {
        Bodies::One(body) => {
            let made = make(read(body)?).await?;
            return Ok(answer::made(noun, shown(&made)));
        }
        Bodies::Many(bodies) => bodies,
    };
    let all = bodies
        .into_iter()
        .map(read)
        .collect::<Result<Vec<_>, _>>()?;
    let mut made = Vec::with_capacity(all.len());
    for new in all {
        match make(new).await {
            Ok(one) => made.push(one),
            Err(error) => {
                for one in &made {
                    unmake(one).await?;
                }
                return Err(error.into());
            }
        }
    }
    Ok(answer::made_many(noun, made.iter().map(shown).collect()))
}
