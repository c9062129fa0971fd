//! What a server uses now, for operators.

use model::Id;
use model::stream::Stats;

use super::task::{Doing, check};
use super::{State, View, steward};
use crate::policy::Action;
use crate::{ActionError, Caller, Cloud, stream};

/// What a running server uses.
///
/// # Errors
/// [`crate::ErrorKind::Conflict`] where it does not run, and what the node says.
pub async fn diagnostics(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
) -> Result<(View, Stats), ActionError> {
    let looking = Doing {
        action: Action::GetServerDiagnostics,
        name: "get_diagnostics",
        task: None,
        states: &[State::Active, State::Paused, State::Resized],
    };
    let view = check(cloud, caller, id, &looking)?;
    let acting = steward(&view.server, &caller.request_id);
    let stats = stream::stats(cloud, &acting, id).await?;
    Ok((view, stats))
}
