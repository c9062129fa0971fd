//! `moby.buildkit.v1.frontend.LLBBridge`: what buildx asks for while its build is under way.
//!
//! A build is begun by [`super::control`], which waits; what is to be built is asked for here, and
//! [`return`](llb_bridge_server::LlbBridge::return) says that the client is through. We build Dockerfiles
//! only: there are no graphs of operations, and no look into results.

use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use bollard_buildkit_proto::moby::buildkit::v1::apicaps::ApiCap;
use bollard_buildkit_proto::moby::buildkit::v1::frontend::result::Result as Built;
use bollard_buildkit_proto::moby::buildkit::v1::frontend::{
    EvaluateRequest, EvaluateResponse, ExecMessage, InputsRequest, InputsResponse,
    NewContainerRequest, NewContainerResponse, PingRequest, PongResponse, ReadDirRequest,
    ReadDirResponse, ReadFileRequest, ReadFileResponse, Ref, ReleaseContainerRequest,
    ReleaseContainerResponse, ResolveImageConfigRequest, ResolveImageConfigResponse,
    ResolveSourceMetaRequest, ResolveSourceMetaResponse, Result as Outcome, ReturnRequest,
    ReturnResponse, SolveRequest, SolveResponse, StatFileRequest, StatFileResponse, WarnRequest,
    WarnResponse, llb_bridge_server,
};
use futures_util::Stream;
use tonic::{Request, Response, Status, Streaming};

use super::error::{api_status, returned_status};
use super::job::Job;
use super::request::{DOCKERFILE, Wanted, refuse_definition, refuse_frontend};
use super::{result, run};
use crate::front::At;

/// Which build a request is about.
const BUILD: &str = "buildkit-controlapi-buildid";

/// What this service can do, in the words of `frontend/gateway/pb/caps.go`.
const CAPABILITIES: [&str; 5] = [
    "solve.base",
    "return",
    "proto.refarray",
    "gateway.evaluate",
    "reference.output",
];

/// The same of graphs, `solver/pb/caps.go`: what Dockerfiles need of them, in clients' eyes. A client
/// that gets an empty list takes a long one for granted.
const GRAPH_CAPABILITIES: [&str; 1] = ["source.local"];

pub(super) struct Gateway {
    at: At,
}

impl Gateway {
    pub(super) const fn new(at: At) -> Self {
        Self { at }
    }

    async fn job<T>(&self, request: &Request<T>) -> Result<Arc<Job>, Status> {
        let name = request.metadata().get(BUILD);
        let name = name.and_then(|name| name.to_str().ok()).ok_or_else(|| {
            Status::failed_precondition(format!("a request needs {BUILD} in its metadata"))
        })?;
        self.at.connections.jobs.find(name).await
    }
}

fn enabled(names: &[&str]) -> Vec<ApiCap> {
    let capability = |id: &&str| ApiCap {
        id: (*id).to_owned(),
        enabled: true,
        ..ApiCap::default()
    };
    names.iter().map(capability).collect()
}

fn refused<T>(what: &str) -> Result<Response<T>, Status> {
    Err(Status::unimplemented(format!(
        "{what}: not supported by this daemon, which builds Dockerfiles only"
    )))
}

#[async_trait]
impl llb_bridge_server::LlbBridge for Gateway {
    async fn ping(&self, request: Request<PingRequest>) -> Result<Response<PongResponse>, Status> {
        self.job(&request).await?;
        Ok(Response::new(PongResponse {
            frontend_api_caps: enabled(&CAPABILITIES),
            llb_caps: enabled(&GRAPH_CAPABILITIES),
            workers: Vec::new(),
        }))
    }

    /// Builds a Dockerfile.
    async fn solve(
        &self,
        request: Request<SolveRequest>,
    ) -> Result<Response<SolveResponse>, Status> {
        let job = self.job(&request).await?;
        let request = request.into_inner();
        refuse_definition(request.definition.as_ref())?;
        if request.frontend != DOCKERFILE {
            return Err(refuse_frontend(&request.frontend));
        }
        let wanted = Wanted::of(request.frontend_opt, &request.frontend_inputs, &self.at);
        let wanted = wanted.map_err(api_status)?;
        let id = run::run(&self.at, &job, wanted).await?;
        let def = Some(result::definition(&id));
        let built = Built::Ref(Ref { id, def });
        Ok(Response::new(SolveResponse {
            result: Some(Outcome {
                result: Some(built),
                ..Outcome::default()
            }),
            ..SolveResponse::default()
        }))
    }

    /// The client is through: with an image, or with an error, which is the build's then.
    async fn r#return(
        &self,
        request: Request<ReturnRequest>,
    ) -> Result<Response<ReturnResponse>, Status> {
        let job = self.job(&request).await?;
        let error = request.into_inner().error;
        job.put_back(error.map_or(Ok(()), |error| Err(returned_status(&error))));
        Ok(Response::new(ReturnResponse {}))
    }

    /// What was asked for is built already.
    async fn evaluate(
        &self,
        request: Request<EvaluateRequest>,
    ) -> Result<Response<EvaluateResponse>, Status> {
        self.job(&request).await?;
        Ok(Response::new(EvaluateResponse {}))
    }

    async fn warn(&self, request: Request<WarnRequest>) -> Result<Response<WarnResponse>, Status> {
        self.job(&request).await?;
        refused("warnings of clients")
    }

    async fn resolve_image_config(
        &self,
        _: Request<ResolveImageConfigRequest>,
    ) -> Result<Response<ResolveImageConfigResponse>, Status> {
        refused("looking up an image for a client's own frontend")
    }

    async fn resolve_source_meta(
        &self,
        _: Request<ResolveSourceMetaRequest>,
    ) -> Result<Response<ResolveSourceMetaResponse>, Status> {
        refused("looking up a source for a client's own frontend")
    }

    async fn read_file(
        &self,
        _: Request<ReadFileRequest>,
    ) -> Result<Response<ReadFileResponse>, Status> {
        refused("reading a file of a result")
    }

    async fn read_dir(
        &self,
        _: Request<ReadDirRequest>,
    ) -> Result<Response<ReadDirResponse>, Status> {
        refused("listing a directory of a result")
    }

    async fn stat_file(
        &self,
        _: Request<StatFileRequest>,
    ) -> Result<Response<StatFileResponse>, Status> {
        refused("looking at a file of a result")
    }

    async fn inputs(&self, _: Request<InputsRequest>) -> Result<Response<InputsResponse>, Status> {
        refused("inputs of a client's own frontend")
    }

    async fn new_container(
        &self,
        _: Request<NewContainerRequest>,
    ) -> Result<Response<NewContainerResponse>, Status> {
        refused("a container on a result")
    }

    async fn release_container(
        &self,
        _: Request<ReleaseContainerRequest>,
    ) -> Result<Response<ReleaseContainerResponse>, Status> {
        refused("a container on a result")
    }

    type ExecProcessStream = Pin<Box<dyn Stream<Item = Result<ExecMessage, Status>> + Send>>;

    async fn exec_process(
        &self,
        _: Request<Streaming<ExecMessage>>,
    ) -> Result<Response<Self::ExecProcessStream>, Status> {
        refused("a process in a container on a result")
    }

    async fn read_file_container(
        &self,
        _: Request<ReadFileRequest>,
    ) -> Result<Response<ReadFileResponse>, Status> {
        refused("reading a file of a container on a result")
    }

    async fn read_dir_container(
        &self,
        _: Request<ReadDirRequest>,
    ) -> Result<Response<ReadDirResponse>, Status> {
        refused("listing a directory of a container on a result")
    }

    async fn stat_file_container(
        &self,
        _: Request<StatFileRequest>,
    ) -> Result<Response<StatFileResponse>, Status> {
        refused("looking at a file of a container on a result")
    }
}
