//! One build: its files are taken from the client, the builder builds, and the client hears of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use actions::build::{self, Asker, Event, Fetched, Files, Ignore, Parts, Remote};
use bollard_buildkit_proto::moby::buildkit::v1::StatusResponse;
use bytes::Bytes;
use futures_util::future::select_all;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};
use tonic::Status;

use super::error::{Shown, action_status, build_status};
use super::files::{self, Received};
use super::job::Job;
use super::progress::{CANCELED, Own, Progress, transferred};
use super::request::{Packed, Place, Wanted};
use super::session::{Choice, Session, Sessions};
use crate::front::At;

/// Events of the builder that wait to be told.
const WAITING_EVENTS: usize = 256;

/// How many bytes of a context come before the client hears of them.
const TOLD_EVERY_BYTES: u64 = 1 << 20;

/// Builds a Dockerfile; answers the image's id. Ends when nobody waits for the job any more.
pub(super) async fn run(at: &At, job: &Arc<Job>, wanted: Wanted) -> Result<String, Status> {
    let built = Box::pin(build(at, job, wanted));
    tokio::select! {
        built = built => built,
        () = job.gone.cancelled() => Err(Status::cancelled("the client left its build")),
    }
}

/// What is built of: where the builder reads it from, and what is known of it.
struct Sources {
    files: Files,
    /// The Dockerfile, where it came by itself.
    text: Option<Bytes>,
    /// What comes while it is built.
    coming: Vec<Coming>,
    /// The step that warnings are about.
    around: Own,
}

/// A directory on its way: the step in which it comes, and what carries it on.
struct Coming {
    step: Own,
    receiving: JoinHandle<Result<(), Status>>,
}

async fn build(at: &At, job: &Arc<Job>, mut wanted: Wanted) -> Result<String, Status> {
    let mut progress = Progress::new(job);
    let path = wanted.new.request.dockerfile.clone();
    let sessions = &at.connections.sessions;
    let session = match job.session.as_str() {
        "" => None,
        id => Some(sessions.find(id).await?),
    };
    let Sources {
        mut files,
        text,
        mut coming,
        around,
    } = match wanted.archive.take() {
        Some(archive) => {
            let mut sources = archived(at, &mut progress, session.as_ref(), archive).await?;
            if wanted.has_own_dockerfile {
                let beside = find(sessions, job, &wanted.places[0]).await?;
                let ((text, _), around) = dockerfile(&mut progress, &beside, &path).await?;
                (sources.text, sources.around) = (Some(text), around);
            }
            sources
        }
        None => shown(&mut progress, sessions, job, &wanted.places, &path).await?,
    };
    for (name, place) in &wanted.named {
        let directory = find(sessions, job, place).await?;
        let (archive, one) = named(&mut progress, job, name, directory).await?;
        files.named.insert(name.clone(), archive);
        coming.push(one);
    }
    for (name, remote) in &wanted.remote {
        let heading = format!("[context {name}] {}", remote.shown());
        let step = progress.begin(heading).await;
        let fetched = fetch(at, session.as_ref(), remote).await;
        let fetched = ended(&progress, step, fetched).await?;
        files.named.insert(name.clone(), fetched.into_directory());
    }
    // The same may be asked for in both requests.
    let warnings: BTreeSet<&String> = job.warnings.iter().chain(&wanted.warnings).collect();
    for warning in warnings {
        progress.warn(&around, warning).await;
    }
    wanted.new.request.dockerfile_text.clone_from(&text);
    wanted.new.names.clone_from(&job.export.names);
    wanted.new.unlisted = job.export.is_unlisted;
    wanted.new.asker = session.map(|session| session as Arc<dyn Asker>);
    let (events, heard) = mpsc::channel(WAITING_EVENTS);
    let building = build::build(&at.cloud, &at.caller, files, wanted.new, events);
    let telling = tell(&mut progress, heard, &around, coming);
    let (built, ()) = tokio::join!(building, telling);
    let image = built.map_err(|failed| {
        let file = text.as_ref().map(|text| Shown { path: &path, text });
        build_status(failed, file.as_ref())
    })?;
    if !job.export.is_unlisted {
        let step = progress.begin("exporting to image").await;
        progress
            .note(&step, format!("writing image {}", image.id))
            .await;
        for name in &job.export.names {
            progress.note(&step, format!("naming to {name}")).await;
        }
        progress.end(step, None).await;
        job.set_answer(answer(&image.id, &job.export.names));
    }
    Ok(image.id.clone())
}

/// Files that are in an archive, the Dockerfile among them.
async fn archived(
    at: &At,
    progress: &mut Progress<'_>,
    session: Option<&Arc<Session>>,
    archive: Packed,
) -> Result<Sources, Status> {
    let heading = match &archive {
        Packed::Remote(remote @ Remote::Repository(_)) => {
            format!("[internal] load git source {}", remote.shown())
        }
        _ => "[internal] load remote build context".to_owned(),
    };
    let step = progress.begin(heading).await;
    let around = step.clone();
    let whole = |archive| Parts {
        archive,
        dockerfile: None,
    };
    let parts = match archive {
        Packed::Here(context) => Ok(whole(context)),
        Packed::InSession(path) => match session {
            Some(session) => session.archive(&path).await.map(whole),
            None => Err(Status::invalid_argument(
                "the archive is in a session, and the build has none",
            )),
        },
        Packed::Remote(remote) => fetch(at, session, &remote)
            .await
            .and_then(|fetched| build::context(fetched).map_err(action_status)),
    };
    let Parts {
        archive,
        dockerfile,
    } = ended(progress, step, parts).await?;
    Ok(Sources {
        files: Files::of(archive),
        text: dockerfile,
        coming: Vec::new(),
        around,
    })
}

/// What is elsewhere; the client has what may be needed to be let in there.
async fn fetch(
    at: &At,
    session: Option<&Arc<Session>>,
    remote: &Remote,
) -> Result<Fetched, Status> {
    let asker = session.map(|session| Arc::clone(session) as Arc<dyn Asker>);
    let fetched = build::fetch(&at.cloud, &at.caller, remote, asker).await;
    fetched.map_err(action_status)
}

/// Files that sessions show, in the directories of the Dockerfile and of the context.
async fn shown(
    progress: &mut Progress<'_>,
    sessions: &Sessions,
    job: &Arc<Job>,
    [beside, source]: &[Place; 2],
    path: &str,
) -> Result<Sources, Status> {
    let beside = find(sessions, job, beside).await?;
    let source = find(sessions, job, source).await?;
    let ((text, own_rules), around) = dockerfile(progress, &beside, path).await?;

    let step = progress.begin("[internal] load .dockerignore").await;
    let except = rules(&source, own_rules).await;
    let except = ended(progress, step, except).await?;

    let step = progress.begin("[internal] load build context").await;
    let (context, coming) = directory(progress, job, step, source, except).await?;
    Ok(Sources {
        files: Files::of(context),
        text: Some(text),
        coming: vec![coming],
        around,
    })
}

/// The Dockerfile in a directory of a session, and the rules beside it; and the step that tells of it.
async fn dockerfile(
    progress: &mut Progress<'_>,
    directory: &Directory,
    path: &str,
) -> Result<((Bytes, Option<Bytes>), Own), Status> {
    let step = progress
        .begin(format!("[internal] load build definition from {path}"))
        .await;
    let around = step.clone();
    let definition = definition(directory, path).await;
    Ok((ended(progress, step, definition).await?, around))
}

/// A directory of a session.
type Directory = (Arc<Session>, String);

async fn find(sessions: &Sessions, job: &Job, place: &Place) -> Result<Directory, Status> {
    let id = place.session.as_ref().unwrap_or(&job.session);
    Ok((sessions.find(id).await?, place.directory.clone()))
}

/// A directory beside the context, whose own `.dockerignore` counts.
async fn named(
    progress: &mut Progress<'_>,
    job: &Arc<Job>,
    name: &str,
    source: Directory,
) -> Result<(build::Context, Coming), Status> {
    let heading = format!("[context {name}] load .dockerignore");
    let step = progress.begin(heading).await;
    let except = rules(&source, None).await;
    let except = ended(progress, step, except).await?;
    let step = progress
        .begin(format!("[context {name}] load from client"))
        .await;
    directory(progress, job, step, source, except).await
}

/// The archive of a directory, which comes while it is read.
async fn directory(
    progress: &Progress<'_>,
    job: &Arc<Job>,
    step: Own,
    (session, directory): Directory,
    except: Vec<String>,
) -> Result<(build::Context, Coming), Status> {
    let choice = Choice {
        directory,
        only: Vec::new(),
        except,
    };
    let exchange = match session.exchange(&choice).await {
        Ok(exchange) => exchange,
        Err(status) => return ended(progress, step, Err(status)).await,
    };
    let (archive, receiving) = files::archive(exchange, teller(Arc::clone(job), step.clone()));
    Ok((archive, Coming { step, receiving }))
}

/// Some files of a directory, whole, by path.
async fn whole(
    (session, directory): &Directory,
    paths: Vec<String>,
) -> Result<BTreeMap<String, Bytes>, Status> {
    let choice = Choice {
        directory: directory.clone(),
        only: paths.clone(),
        except: Vec::new(),
    };
    files::whole(session.exchange(&choice).await?, &paths).await
}

/// Ends a step of our own as what it was for came out.
async fn ended<T>(
    progress: &Progress<'_>,
    own: Own,
    result: Result<T, Status>,
) -> Result<T, Status> {
    let error = result.as_ref().err().map(Status::message);
    progress.end(own, error).await;
    result
}

/// What dockerd tells of an image that it built; buildx reads it.
fn answer(id: &str, names: &[String]) -> HashMap<String, String> {
    let mut answer = HashMap::from([
        ("containerimage.digest".to_owned(), id.to_owned()),
        ("containerimage.config.digest".to_owned(), id.to_owned()),
    ]);
    if !names.is_empty() {
        answer.insert("image.name".to_owned(), names.join(","));
    }
    answer
}

/// The Dockerfile, and the rules beside it of what is left out of its context.
async fn definition(directory: &Directory, path: &str) -> Result<(Bytes, Option<Bytes>), Status> {
    let rules = format!("{path}.dockerignore");
    let mut files = whole(directory, vec![path.to_owned(), rules.clone()]).await?;
    let text = files.remove(path).ok_or_else(|| {
        Status::unknown(format!(
            "failed to read dockerfile: open {path}: no such file or directory"
        ))
    })?;
    Ok((text, files.remove(&rules)))
}

/// The patterns of what the client leaves out of the context.
async fn rules(directory: &Directory, own: Option<Bytes>) -> Result<Vec<String>, Status> {
    let name = ".dockerignore";
    let text = match own {
        Some(own) => Some(own),
        None => whole(directory, vec![name.to_owned()]).await?.remove(name),
    };
    let text = text.unwrap_or_default();
    Ignore::patterns(&String::from_utf8_lossy(&text))
        .map_err(|error| Status::invalid_argument(format!("failed to read {name}: {error}")))
}

/// Tells a client how much of its context has come, now and then.
fn teller(job: Arc<Job>, step: Own) -> impl Fn(Received) + Send + Sync + 'static {
    let told = std::sync::atomic::AtomicU64::new(0);
    move |received| {
        let status: StatusResponse = match received {
            Received::Bytes(bytes) => {
                let last = told.load(std::sync::atomic::Ordering::Relaxed);
                if bytes < last + TOLD_EVERY_BYTES {
                    return;
                }
                told.store(bytes, std::sync::atomic::Ordering::Relaxed);
                transferred(&step, bytes, false)
            }
            Received::All(bytes) => transferred(&step, bytes, true),
        };
        job.mention(status);
    }
}

/// Tells of the builder until it is through, and of each directory as soon as it is there.
async fn tell(
    progress: &mut Progress<'_>,
    mut heard: mpsc::Receiver<Event>,
    around: &Own,
    mut coming: Vec<Coming>,
) {
    loop {
        tokio::select! {
            (at, received) = next(&mut coming) => {
                let Coming { step, .. } = coming.swap_remove(at);
                // The builder hears of it, too, and fails.
                drop(ended(progress, step, received).await);
            }
            event = heard.recv() => match event {
                Some(event) => progress.tell(event, around).await,
                None => break,
            },
        }
    }
    for Coming { step, receiving } in coming {
        receiving.abort();
        progress.end(step, Some(CANCELED)).await;
    }
    progress.close_all().await;
}

/// Waits until one of them is there or has failed; for ever where there is none.
async fn next(coming: &mut [Coming]) -> (usize, Result<(), Status>) {
    if coming.is_empty() {
        return std::future::pending().await;
    }
    let (received, at, _) = select_all(coming.iter_mut().map(|one| &mut one.receiving)).await;
    let failed = |error: JoinError| Err(Status::internal(error.to_string()));
    (at, received.unwrap_or_else(failed))
}
