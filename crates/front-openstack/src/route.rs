//! One operation of a service: its path, its name in the coverage table, and who answers.

use axum::routing::MethodRouter;

use crate::front::Front;

/// One operation.
pub(crate) struct Route {
    /// The path after the service's own, `/v3/users/{user_id}`.
    pub(crate) path: &'static str,
    /// The operation's name in the coverage table: `listUsers`.
    #[cfg_attr(not(test), expect(dead_code, reason = "the coverage test reads it"))]
    pub(crate) operation: &'static str,
    pub(crate) handler: MethodRouter<Front>,
    /// It answers without a token.
    pub(crate) is_open: bool,
}

impl Route {
    /// An operation for whoever has a token.
    pub(crate) fn new(
        path: &'static str,
        operation: &'static str,
        handler: MethodRouter<Front>,
    ) -> Self {
        Self {
            path,
            operation,
            handler,
            is_open: false,
        }
    }

    /// An operation for everybody.
    pub(crate) fn open(
        path: &'static str,
        operation: &'static str,
        handler: MethodRouter<Front>,
    ) -> Self {
        Self {
            is_open: true,
            ..Self::new(path, operation, handler)
        }
    }
}
