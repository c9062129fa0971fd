//! Bytes and samples of an instance, after a look at whether the caller may have them.

use model::Id;
use model::container::TerminalSize;
use model::event::Action;
use model::stream::{Change, ExtractOptions, HostPaths, LogOptions, PathStat, Processes, Stats};

pub use crate::nodes::{Archive, Input, LogLines, Output};
use crate::observer::instance_event;
use crate::policy;
use crate::{ActionError, Caller, Cloud, instance};

/// Its standard streams, also of one about to start, whose node may not have made it yet. Of one
/// without an open standard input there is none.
///
/// # Errors
/// [`crate::ErrorKind::NotFound`], and what the node says.
pub async fn attach(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    stdin: bool,
    output: bool,
) -> Result<(Output, Option<Input>), ActionError> {
    let view = instance::allowed(cloud, caller, policy::Action::AttachStreams, id)?;
    let mut containers = view.instance.spec.containers.iter();
    let stdin = stdin && containers.any(|container| container.open_stdin);
    let streams = cloud.nodes.attach(id, stdin, output).await?;
    cloud
        .observer
        .tell(instance_event(&view.instance, Action::Attached));
    Ok(streams)
}

/// A client let go of its streams, which ends nothing else.
pub fn detached(cloud: &Cloud, caller: &Caller, id: Id) {
    // An instance that is gone has nothing to tell of.
    if let Ok(view) = instance::get(cloud, caller, id) {
        cloud
            .observer
            .tell(instance_event(&view.instance, Action::Detached));
    }
}

/// Sets the size of its terminal.
///
/// # Errors
/// [`crate::ErrorKind::NotFound`], and what the node says.
pub async fn resize(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    size: TerminalSize,
) -> Result<(), ActionError> {
    let view = instance::allowed(cloud, caller, policy::Action::ResizeTerminal, id)?;
    cloud.nodes.resize(id, size).await?;
    let mut event = instance_event(&view.instance, Action::Resized);
    event
        .attributes
        .insert("height".to_owned(), size.rows.to_string());
    event
        .attributes
        .insert("width".to_owned(), size.columns.to_string());
    cloud.observer.tell(event);
    Ok(())
}

/// Lines of its log.
///
/// # Errors
/// [`crate::ErrorKind::NotFound`], and what the node says.
pub async fn logs(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    options: &LogOptions,
) -> Result<LogLines, ActionError> {
    instance::allowed(cloud, caller, policy::Action::ReadLog, id)?;
    Ok(cloud.nodes.logs(id, options).await?)
}

/// What it uses now.
///
/// # Errors
/// [`crate::ErrorKind::NotFound`], and what the node says.
pub async fn stats(cloud: &Cloud, caller: &Caller, id: Id) -> Result<Stats, ActionError> {
    instance::allowed(cloud, caller, policy::Action::GetStatistics, id)?;
    Ok(cloud.nodes.stats(id).await?)
}

/// Its processes.
///
/// # Errors
/// [`crate::ErrorKind::NotFound`], and what the node says.
pub async fn processes(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    ps_args: &[String],
) -> Result<Processes, ActionError> {
    let view = instance::allowed(cloud, caller, policy::Action::ListProcesses, id)?;
    let processes = cloud.nodes.processes(id, ps_args).await?;
    cloud
        .observer
        .tell(instance_event(&view.instance, Action::Topped));
    Ok(processes)
}

/// What is at a path inside.
///
/// # Errors
/// [`crate::ErrorKind::NotFound`], and what the node says.
pub async fn stat_path(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    path: &str,
) -> Result<PathStat, ActionError> {
    instance::allowed(cloud, caller, policy::Action::ReadArchive, id)?;
    instance::made(cloud, id).await;
    Ok(cloud.nodes.stat_path(id, path).await?)
}

/// A tar archive of what is at a path inside.
///
/// # Errors
/// [`crate::ErrorKind::NotFound`], and what the node says.
pub async fn read_archive(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    path: &str,
) -> Result<(PathStat, Archive), ActionError> {
    let view = instance::allowed(cloud, caller, policy::Action::ReadArchive, id)?;
    instance::made(cloud, id).await;
    let archive = cloud.nodes.read_archive(id, path).await?;
    cloud
        .observer
        .tell(instance_event(&view.instance, Action::ArchivePathRead));
    Ok(archive)
}

/// Extracts a tar archive into a directory inside.
///
/// # Errors
/// [`crate::ErrorKind::NotFound`], and what the node says.
pub async fn write_archive(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    path: &str,
    archive: Archive,
    options: ExtractOptions,
) -> Result<(), ActionError> {
    let view = instance::allowed(cloud, caller, policy::Action::WriteArchive, id)?;
    instance::made(cloud, id).await;
    cloud
        .nodes
        .write_archive(id, path, archive, options)
        .await?;
    cloud
        .observer
        .tell(instance_event(&view.instance, Action::ArchiveExtracted));
    Ok(())
}

/// How its root file system differs from its image.
///
/// # Errors
/// [`crate::ErrorKind::NotFound`], and what the node says.
pub async fn changes(cloud: &Cloud, caller: &Caller, id: Id) -> Result<Vec<Change>, ActionError> {
    instance::allowed(cloud, caller, policy::Action::ListChanges, id)?;
    instance::made(cloud, id).await;
    Ok(cloud.nodes.changes(id).await?)
}

/// A tar archive of its whole root file system.
///
/// # Errors
/// [`crate::ErrorKind::NotFound`], and what the node says.
pub async fn export(cloud: &Cloud, caller: &Caller, id: Id) -> Result<Archive, ActionError> {
    let view = instance::allowed(cloud, caller, policy::Action::ReadArchive, id)?;
    instance::made(cloud, id).await;
    let archive = cloud.nodes.export(id).await?;
    cloud
        .observer
        .tell(instance_event(&view.instance, Action::Exported));
    Ok(archive)
}

/// Bytes in its writable layer.
///
/// # Errors
/// [`crate::ErrorKind::NotFound`], and what the node says.
pub async fn writable_size(cloud: &Cloud, caller: &Caller, id: Id) -> Result<u64, ActionError> {
    instance::get(cloud, caller, id)?;
    Ok(cloud.nodes.writable_size(id).await?)
}

/// Paths of the host that front ends show.
///
/// # Errors
/// [`crate::ErrorKind::NotFound`].
pub fn host_paths(cloud: &Cloud, caller: &Caller, id: Id) -> Result<HostPaths, ActionError> {
    instance::get(cloud, caller, id)?;
    Ok(cloud.nodes.paths(id))
}
