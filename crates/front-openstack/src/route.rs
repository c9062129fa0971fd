//! One path of a service: its operations' names in the coverage table, and who answers.

use axum::routing::MethodRouter;

use crate::front::Front;

/// One path with one method.
pub(crate) struct Route {
    /// The path after the service's own, `/v3/users/{user_id}`.
    pub(crate) path: &'static str,
    /// The operations' names in the coverage table: `listUsers`; several where the body says which.
    #[cfg_attr(not(test), expect(dead_code, reason = "the coverage test reads it"))]
    pub(crate) operations: Vec<&'static str>,
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
        Self::several(path, vec![operation], handler)
    }

    /// Operations for whoever has a token, of which the body says the one that is meant.
    pub(crate) fn several(
        path: &'static str,
        operations: Vec<&'static str>,
        handler: MethodRouter<Front>,
    ) -> Self {
        Self {
            path,
            operations,
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
