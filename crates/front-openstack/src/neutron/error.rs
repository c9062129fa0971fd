//! Neutron's envelope: `{"NeutronError": {"type": ..., "message": ..., "detail": ""}}`.
//!
//! Every action error is mapped here, exhaustively; the types are the names of Neutron's exceptions.

use actions::refusal::Refusal;
use actions::{ActionError, ErrorKind};
use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::json;

use crate::failure;
use crate::json::BodyError;

/// Why a request was not carried out, in Neutron's words.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct ApiError {
    status: StatusCode,
    kind: String,
    message: String,
}

impl ApiError {
    pub(super) fn new(
        status: StatusCode,
        kind: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            status,
            kind: kind.into(),
            message: message.into(),
        }
    }

    /// 400: the request is wrong.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "HTTPBadRequest", message)
    }

    /// 404: there is no such thing; `kind` as in `NetworkNotFound`.
    pub(super) fn not_found(kind: &str, id: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            format!("{kind}NotFound"),
            format!("{kind} {id} could not be found."),
        )
    }
}

/// The status and the type for this kind of failure, where no rule has a name.
const fn by_kind(kind: ErrorKind) -> (StatusCode, &'static str) {
    match kind {
        ErrorKind::NotFound => (StatusCode::NOT_FOUND, "HTTPNotFound"),
        ErrorKind::AlreadyExists | ErrorKind::Conflict => (StatusCode::CONFLICT, "HTTPConflict"),
        ErrorKind::NotModified => (StatusCode::NOT_MODIFIED, "HTTPNotModified"),
        ErrorKind::Invalid | ErrorKind::CommandNotFound | ErrorKind::CommandNotExecutable => {
            (StatusCode::BAD_REQUEST, "InvalidInput")
        }
        ErrorKind::Unauthenticated => (StatusCode::UNAUTHORIZED, "HTTPUnauthorized"),
        ErrorKind::Forbidden => (StatusCode::FORBIDDEN, "PolicyNotAuthorized"),
        ErrorKind::QuotaExceeded => (StatusCode::CONFLICT, "OverQuota"),
        ErrorKind::NoCapacity | ErrorKind::Unavailable => {
            (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable")
        }
        ErrorKind::TimedOut | ErrorKind::Internal => {
            (StatusCode::INTERNAL_SERVER_ERROR, "HTTPInternalServerError")
        }
    }
}

/// The name of a rule: Neutron's exception for it.
const fn by_rule(rule: &Refusal) -> &'static str {
    match rule {
        Refusal::NetworkNotFound(_) => "NetworkNotFound",
        Refusal::SubnetNotFound(_) => "SubnetNotFound",
        Refusal::PortNotFound(_) => "PortNotFound",
        Refusal::FirewallNotFound(_) => "SecurityGroupNotFound",
        Refusal::RuleNotFound(_) => "SecurityGroupRuleNotFound",
        Refusal::RouterNotFound(_) => "RouterNotFound",
        Refusal::FloatingNotFound(_) => "FloatingIPNotFound",
        Refusal::NetworkInUse { .. } => "NetworkInUse",
        Refusal::ExternalInUse { .. } => "ExternalNetworkInUse",
        Refusal::SharedInUse { .. } => "InvalidSharedSetting",
        Refusal::SubnetInUse { .. } => "SubnetInUse",
        Refusal::SubnetsOverlap { .. } => "InvalidInput",
        Refusal::PoolInvalid(_) => "InvalidAllocationPool",
        Refusal::PoolOutside { .. } => "OutOfBoundsAllocationPool",
        Refusal::PoolsOverlap { .. } => "OverlappingAllocationPools",
        Refusal::GatewayInPool { .. } => "GatewayConflictWithAllocationPools",
        Refusal::GatewayInUse { .. } => "GatewayIpInUse",
        Refusal::PortInUse { .. } => "PortInUse",
        Refusal::PortOwned { .. } => "ServicePortInUse",
        Refusal::MacInUse { .. } => "MacAddressInUse",
        Refusal::AddressInUse { .. } => "IpAddressInUse",
        Refusal::AddressesExhausted { .. } => "IpAddressGenerationFailure",
        Refusal::AddressOutside(_) => "InvalidIpForNetwork",
        Refusal::AddressOutsideSubnet(_) => "InvalidIpForSubnet",
        Refusal::AddressSelfMade { .. } => "AllocationOnAutoAddressSubnet",
        Refusal::PortSecurityNeeded { .. } => "PortSecurityAndIPRequiredForSecurityGroups",
        Refusal::PortSecurityInUse { .. } => "PortSecurityPortHasSecurityGroup",
        Refusal::DefaultFirewallExists => "SecurityGroupDefaultAlreadyExists",
        Refusal::DefaultFirewallRemoved => "SecurityGroupCannotRemoveDefault",
        Refusal::DefaultFirewallRenamed => "SecurityGroupCannotUpdateDefault",
        Refusal::FirewallInUse { .. } => "SecurityGroupInUse",
        Refusal::RuleExists { .. } => "SecurityGroupRuleExists",
        Refusal::RuleProtocol { .. } => "SecurityGroupRuleInvalidProtocol",
        Refusal::RulePortsWithoutProtocol => "SecurityGroupProtocolRequiredWithPorts",
        Refusal::RulePortsOfProtocol { .. } => "SecurityGroupInvalidProtocolForPort",
        Refusal::RulePortRange => "SecurityGroupInvalidPortRange",
        Refusal::RulePort { .. } => "SecurityGroupInvalidPortValue",
        Refusal::RuleIcmpValue { .. } => "SecurityGroupInvalidIcmpValue",
        Refusal::RuleIcmpCodeWithoutType { .. } => "SecurityGroupMissingIcmpType",
        Refusal::RuleFamily { .. } => "SecurityGroupRuleParameterConflict",
        Refusal::RouterInUse { .. } => "RouterInUse",
        Refusal::RouterHasNoPort { .. } => "RouterInterfaceNotFound",
        Refusal::RouterHasNoSubnet { .. } => "RouterInterfaceNotFoundForSubnet",
        Refusal::RouterInterfaceNeeded { .. } => "RouterInterfaceInUseByFloatingIP",
        Refusal::RouterGatewayNeeded { .. } => "RouterExternalGatewayInUseByFloatingIp",
        Refusal::RouteInvalid { .. } => "InvalidRoutes",
        Refusal::NotExternal(_) => "BadRequest",
        Refusal::ExternalExhausted(_) => "ExternalIpAddressExhausted",
        Refusal::FloatingUnreachable { .. } => "ExternalGatewayForFloatingIPNotFound",
        Refusal::FloatingTaken { .. } => "FloatingIPPortAlreadyAssociated",
    }
}

impl From<ActionError> for ApiError {
    fn from(error: ActionError) -> Self {
        let (status, kind) = by_kind(error.kind);
        failure::log(&error, status);
        let kind = error.refusal.as_deref().map_or(kind, by_rule);
        Self::new(status, kind, error.message)
    }
}

impl From<BodyError> for ApiError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Read(edge::body::ReadError::TooLarge { limit }) => Self::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "HTTPRequestEntityTooLarge",
                format!("The request is larger than {limit} bytes."),
            ),
            error => Self::invalid(error.to_string()),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = json!({
            "NeutronError": { "type": self.kind, "message": self.message, "detail": "" }
        });
        (self.status, Json(body)).into_response()
    }
}
