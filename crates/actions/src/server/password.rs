//! The password that a server made up and told the metadata service, encrypted for its user.

use model::Id;

use super::{get, missing};
use crate::instance::change_intent;
use crate::policy::{Action, Target};
use crate::{ActionError, Caller, Cloud, durable};

/// The password as it was told; empty where none was.
///
/// # Errors
/// [`crate::ErrorKind::NotFound`].
pub fn get_password(cloud: &Cloud, caller: &Caller, id: Id) -> Result<String, ActionError> {
    let view = get(cloud, caller, id)?;
    let project = Target::project(view.server.meta.project);
    caller.may(Action::GetServerPassword, &project)?;
    let guest = view
        .instance
        .and_then(|view| view.instance.spec.guest.clone());
    Ok(guest.map(|guest| guest.password).unwrap_or_default())
}

/// Forgets the password here; inside it stays.
///
/// # Errors
/// [`crate::ErrorKind::NotFound`].
pub async fn clear_password(cloud: &Cloud, caller: &Caller, id: Id) -> Result<(), ActionError> {
    let view = get(cloud, caller, id)?;
    let project = Target::project(view.server.meta.project);
    caller.may(Action::ClearServerPassword, &project)?;
    if view.instance.is_none() {
        return Err(missing(id));
    }
    let ((), ticket) = change_intent(cloud, id, |instance| {
        if let Some(guest) = &mut instance.spec.guest {
            guest.password.clear();
        }
        Ok(())
    })
    .await?;
    durable(ticket).await
}
