//! Actions that start, stop and freeze.

use actions::server::{self, Reboot};
use model::Id;
use serde_json::Value;

use super::routes::{Outcome, accepted};
use crate::front::At;
use crate::nova::fields::{Fields, wrong};

pub(super) async fn start(at: At, id: Id) -> Outcome {
    server::start(&at.cloud, &at.caller, id).await?;
    accepted()
}

pub(super) async fn stop(at: At, id: Id) -> Outcome {
    server::stop(&at.cloud, &at.caller, id).await?;
    accepted()
}

pub(super) async fn reboot(at: At, id: Id, body: Value) -> Outcome {
    let mut fields = Fields::object_of(body, "reboot")?;
    let word = fields.text("type", 0..=usize::MAX)?;
    let word = fields.required("type", word)?;
    fields.done()?;
    let how = match word.to_ascii_uppercase().as_str() {
        "SOFT" => Reboot::Soft,
        "HARD" => Reboot::Hard,
        _ => {
            let message =
                format!("'{word}' is not one of ['HARD', 'Hard', 'hard', 'SOFT', 'Soft', 'soft']");
            return Err(wrong("type", &Value::from(word), message));
        }
    };
    server::reboot(&at.cloud, &at.caller, id, how).await?;
    accepted()
}

pub(super) async fn pause(at: At, id: Id) -> Outcome {
    server::pause(&at.cloud, &at.caller, id).await?;
    accepted()
}

pub(super) async fn unpause(at: At, id: Id) -> Outcome {
    server::unpause(&at.cloud, &at.caller, id).await?;
    accepted()
}

pub(super) async fn suspend(at: At, id: Id) -> Outcome {
    server::suspend(&at.cloud, &at.caller, id).await?;
    accepted()
}

pub(super) async fn resume(at: At, id: Id) -> Outcome {
    server::resume_suspended(&at.cloud, &at.caller, id).await?;
    accepted()
}

pub(super) async fn shelve(at: At, id: Id) -> Outcome {
    server::shelve(&at.cloud, &at.caller, id).await?;
    accepted()
}

pub(super) async fn offload(at: At, id: Id) -> Outcome {
    server::offload(&at.cloud, &at.caller, id).await?;
    accepted()
}

pub(super) async fn unshelve(at: At, id: Id) -> Outcome {
    server::unshelve(&at.cloud, &at.caller, id).await?;
    accepted()
}
