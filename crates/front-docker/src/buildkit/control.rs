//! `moby.buildkit.v1.Control`: asking for a build, listening to it, and what builds leave behind.

use std::pin::Pin;
use std::sync::Arc;

use actions::build::CachedStep;
use actions::system;
use async_trait::async_trait;
use bollard_buildkit_proto::google::protobuf::Timestamp;
use bollard_buildkit_proto::moby::buildkit::v1::control_server;
use bollard_buildkit_proto::moby::buildkit::v1::types::{BuildkitVersion, WorkerRecord};
use bollard_buildkit_proto::moby::buildkit::v1::{
    BuildHistoryEvent, BuildHistoryRequest, BytesMessage, DiskUsageRequest, DiskUsageResponse,
    InfoRequest, InfoResponse, ListWorkersRequest, ListWorkersResponse, PruneRequest, SolveRequest,
    SolveResponse, StatusRequest, StatusResponse, UpdateBuildHistoryRequest,
    UpdateBuildHistoryResponse, UsageRecord,
};
use bollard_buildkit_proto::pb::Platform;
use futures_util::stream::{self, Stream, StreamExt};
use tokio::io::AsyncWriteExt;
use tokio_util::io::ReaderStream;
use tonic::{Request, Response, Status, Streaming};

use super::error::{action_status, api_status};
use super::request::{DOCKERFILE, Export, Wanted, check, graphs_are_refused};
use super::run;
use super::session::Take;
use crate::build::{Prune, prune_chosen};
use crate::front::At;
use crate::system::go_architecture;

/// What is answered over time.
type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Bytes on their way to a session that is inside a connection, and back.
const SESSION_BUFFER: usize = 64 * 1024;

/// The label under which buildx shows what runs commands.
const EXECUTOR: &str = "org.mobyproject.buildkit.worker.executor";
const HOSTNAME: &str = "org.mobyproject.buildkit.worker.hostname";

pub(super) struct Control {
    at: At,
}

impl Control {
    pub(super) const fn new(at: At) -> Self {
        Self { at }
    }
}

fn no_history() -> Status {
    Status::unimplemented("this daemon keeps no history of builds")
}

fn version() -> BuildkitVersion {
    BuildkitVersion {
        package: "longshore".to_owned(),
        version: format!("v{}", crate::VERSION),
        revision: String::new(),
    }
}

fn timestamp(at: jiff::Timestamp) -> Timestamp {
    Timestamp {
        seconds: at.as_second(),
        nanos: at.subsec_nanosecond(),
    }
}

fn record(step: &CachedStep) -> UsageRecord {
    UsageRecord {
        id: step.key.clone(),
        size: i64::try_from(step.size_bytes).unwrap_or(i64::MAX),
        created_at: Some(timestamp(step.made_at)),
        last_used_at: Some(timestamp(step.used_at)),
        usage_count: i64::try_from(step.uses).unwrap_or(i64::MAX),
        description: step.created_by.clone(),
        record_type: "regular".to_owned(),
        shared: step.is_shared,
        ..UsageRecord::default()
    }
}

/// Conditions on records are containerd's language, of which buildx sends few words.
fn refuse_filters(filters: &[String]) -> Result<(), Status> {
    // buildx sends an empty one for none.
    match filters.iter().find(|filter| !filter.is_empty()) {
        None => Ok(()),
        Some(filter) => Err(Status::unimplemented(format!(
            "filter {filter}: not supported"
        ))),
    }
}

#[async_trait]
impl control_server::Control for Control {
    async fn disk_usage(
        &self,
        request: Request<DiskUsageRequest>,
    ) -> Result<Response<DiskUsageResponse>, Status> {
        refuse_filters(&request.into_inner().filter)?;
        let steps = actions::build::cached(&self.at.cloud, &self.at.caller);
        let record = steps.iter().map(record).collect();
        Ok(Response::new(DiskUsageResponse { record }))
    }

    type PruneStream = Answers<UsageRecord>;

    /// Removes what builds left, and tells what.
    async fn prune(
        &self,
        request: Request<PruneRequest>,
    ) -> Result<Response<Self::PruneStream>, Status> {
        let request = request.into_inner();
        refuse_filters(&request.filter)?;
        let bytes = |count: i64| u64::try_from(count).ok().filter(|count| *count > 0);
        let unused_for = bytes(request.keep_duration).map(std::time::Duration::from_nanos);
        let prune = Prune {
            all: request.all,
            before: unused_for.and_then(|ago| jiff::Timestamp::now().checked_sub(ago).ok()),
            keep_bytes: bytes(request.reserved_space).or(bytes(request.max_used_space)),
            ids: None,
        };
        let (gone, _) = prune_chosen(&self.at, &prune)
            .await
            .map_err(action_status)?;
        let records: Vec<_> = gone.iter().map(|step| Ok(record(step))).collect();
        Ok(Response::new(Box::pin(stream::iter(records))))
    }

    /// Builds, either what is asked for here, or what the client asks [`super::gateway`] for until it
    /// is through.
    async fn solve(
        &self,
        request: Request<SolveRequest>,
    ) -> Result<Response<SolveResponse>, Status> {
        let request = request.into_inner();
        let warnings = check(&request)?;
        let export = Export::of(&request)?;
        let jobs = &self.at.connections.jobs;
        let open = jobs.open(&request.r#ref, &request.session, export, warnings)?;
        let job = &open.job;
        let done = if request.frontend == DOCKERFILE {
            let wanted = Wanted::of(request.frontend_attrs, &request.frontend_inputs, &self.at);
            let wanted = wanted.map_err(api_status)?;
            run::run(&self.at, job, wanted).await.map(drop)
        } else if request.definition.is_none() {
            job.returned().await
        } else {
            Err(graphs_are_refused())
        };
        job.fall_silent().await;
        done?;
        Ok(Response::new(SolveResponse {
            exporter_response: job.answer(),
        }))
    }

    type StatusStream = Answers<StatusResponse>;

    async fn status(
        &self,
        request: Request<StatusRequest>,
    ) -> Result<Response<Self::StatusStream>, Status> {
        let job = self
            .at
            .connections
            .jobs
            .find(&request.into_inner().r#ref)
            .await?;
        let statuses = stream::unfold(job.listen()?, |mut statuses| async {
            let status = statuses.recv().await?;
            Some((Ok(status), statuses))
        });
        Ok(Response::new(Box::pin(statuses)))
    }

    type SessionStream = Answers<BytesMessage>;

    /// A session inside this connection: clients open one for the directories that several of their
    /// builds share.
    async fn session(
        &self,
        request: Request<Streaming<BytesMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let take = Take::of(request.metadata().as_ref()).map_err(api_status)?;
        let connections = Arc::clone(&self.at.connections);
        let place = connections.sessions.reserve(&take).map_err(api_status)?;
        let (ours, theirs) = tokio::io::duplex(SESSION_BUFFER);
        let (from_us, mut to_us) = tokio::io::split(theirs);
        let mut pieces = request.into_inner();
        tokio::spawn(async move {
            let bring = async {
                while let Ok(Some(piece)) = pieces.message().await {
                    if to_us.write_all(&piece.data).await.is_err() {
                        break;
                    }
                }
            };
            // A client that leaves ends the session, whatever is asked of it.
            tokio::select! {
                () = bring => {}
                () = connections.sessions.keep(place, take, ours) => {}
            }
        });
        let answers = ReaderStream::new(from_us).map(|bytes| match bytes {
            Ok(bytes) => Ok(BytesMessage {
                data: bytes.to_vec(),
            }),
            Err(error) => Err(Status::aborted(error.to_string())),
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn list_workers(
        &self,
        _: Request<ListWorkersRequest>,
    ) -> Result<Response<ListWorkersResponse>, Status> {
        let info = system::info(&self.at.cloud, &self.at.caller).map_err(action_status)?;
        let node = &info.node;
        let architecture = go_architecture(&node.spec.architecture).to_owned();
        let labels = [
            (EXECUTOR, "longshore".to_owned()),
            (HOSTNAME, node.meta.name.clone()),
        ];
        let worker = WorkerRecord {
            id: node.meta.id.simple().to_string(),
            labels: labels
                .map(|(label, value)| (label.to_owned(), value))
                .into(),
            platforms: vec![Platform {
                os: "linux".to_owned(),
                architecture,
                ..Platform::default()
            }],
            buildkit_version: Some(version()),
            ..WorkerRecord::default()
        };
        let record = vec![worker];
        Ok(Response::new(ListWorkersResponse { record }))
    }

    async fn info(&self, _: Request<InfoRequest>) -> Result<Response<InfoResponse>, Status> {
        let buildkit_version = Some(version());
        Ok(Response::new(InfoResponse { buildkit_version }))
    }

    type ListenBuildHistoryStream = Answers<BuildHistoryEvent>;

    async fn listen_build_history(
        &self,
        _: Request<BuildHistoryRequest>,
    ) -> Result<Response<Self::ListenBuildHistoryStream>, Status> {
        Err(no_history())
    }

    async fn update_build_history(
        &self,
        _: Request<UpdateBuildHistoryRequest>,
    ) -> Result<Response<UpdateBuildHistoryResponse>, Status> {
        Err(no_history())
    }
}
