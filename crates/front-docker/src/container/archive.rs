//! Files in and out: `/containers/{name}/archive`, `/export` and `/changes`.

use actions::stream;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use model::Id;
use model::stream::{ChangeKind, ExtractOptions, PathStat};
use serde_json::json;

use super::lookup::{about, find};
use crate::error::ApiError;
use crate::front::{At, Path};
use crate::time::rfc3339;

const STAT_HEADER: &str = "X-Docker-Container-Path-Stat";
const TAR: &str = "application/x-tar";

/// The container and the path that a request names.
fn target(at: &At, name: &str) -> Result<(Id, String), ApiError> {
    let path = at.form.get("path");
    if path.is_empty() {
        return Err(ApiError::invalid("bad parameter: 'path' cannot be empty"));
    }
    Ok((find(at, name)?.instance.meta.id, path.to_owned()))
}

/// A missing path is told with the container's name, as clients show it.
fn missing_path(name: &str, path: &str, id: Id, error: actions::ActionError) -> ApiError {
    if error.kind == actions::ErrorKind::NotFound {
        return ApiError::not_found(format!(
            "Could not find the file {path} in container {name}"
        ));
    }
    about(id, error)
}

pub(crate) async fn stat(at: At, Path(name): Path<String>) -> Result<HeaderMap, ApiError> {
    let (id, path) = target(&at, &name)?;
    let stat = stream::stat_path(&at.cloud, &at.caller, id, &path)
        .await
        .map_err(|error| missing_path(&name, &path, id, error))?;
    Ok(stat_header(&stat))
}

pub(crate) async fn read(at: At, Path(name): Path<String>) -> Result<Response, ApiError> {
    let (id, path) = target(&at, &name)?;
    let (stat, archive) = stream::read_archive(&at.cloud, &at.caller, id, &path)
        .await
        .map_err(|error| missing_path(&name, &path, id, error))?;
    let mut headers = stat_header(&stat);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(TAR));
    Ok((headers, edge::body::from_reader(archive)).into_response())
}

pub(crate) async fn write(
    at: At,
    Path(name): Path<String>,
    request: Request,
) -> Result<StatusCode, ApiError> {
    let (id, path) = target(&at, &name)?;
    let options = ExtractOptions {
        no_overwrite_dir_non_dir: at.form.is_true("noOverwriteDirNonDir"),
        copy_owners: at.form.is_true("copyUIDGID"),
    };
    let archive = Box::new(edge::body::reader(request.into_body()));
    stream::write_archive(&at.cloud, &at.caller, id, &path, archive, options)
        .await
        .map_err(|error| missing_path(&name, &path, id, error))?;
    Ok(StatusCode::OK)
}

pub(crate) async fn export(at: At, Path(name): Path<String>) -> Result<Response, ApiError> {
    let id = find(&at, &name)?.instance.meta.id;
    let archive = stream::export(&at.cloud, &at.caller, id)
        .await
        .map_err(|error| about(id, error))?;
    Ok((
        [(CONTENT_TYPE, "application/octet-stream")],
        edge::body::from_reader(archive),
    )
        .into_response())
}

pub(crate) async fn changes(at: At, Path(name): Path<String>) -> Result<Response, ApiError> {
    let id = find(&at, &name)?.instance.meta.id;
    let changes = stream::changes(&at.cloud, &at.caller, id)
        .await
        .map_err(|error| about(id, error))?;
    let changes: Vec<_> = changes
        .into_iter()
        .map(|change| {
            let kind = match change.kind {
                ChangeKind::Modified => 0,
                ChangeKind::Added => 1,
                ChangeKind::Deleted => 2,
            };
            json!({ "Path": change.path, "Kind": kind })
        })
        .collect();
    // As Go writes a list that was never made.
    let changes = Some(changes).filter(|changes| !changes.is_empty());
    Ok(axum::Json(changes).into_response())
}

fn stat_header(stat: &PathStat) -> HeaderMap {
    let document = json!({
        "name": stat.name,
        "size": stat.size_bytes,
        "mode": go_mode(stat.mode),
        "mtime": rfc3339(Some(stat.modified_at)),
        "linkTarget": stat.link_target,
    });
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_str(&STANDARD.encode(document.to_string())) {
        headers.insert(STAT_HEADER, value);
    }
    headers
}

/// `st_mode` as Go's `fs.FileMode` has it.
fn go_mode(mode: u32) -> u32 {
    let kind = match mode & 0o170_000 {
        0o040_000 => 1 << 31,               // directory
        0o120_000 => 1 << 27,               // symbolic link
        0o060_000 => 1 << 26,               // block device
        0o020_000 => (1 << 26) | (1 << 21), // character device
        0o010_000 => 1 << 25,               // pipe
        0o140_000 => 1 << 24,               // socket
        _ => 0,
    };
    let flag = |bit: u32, go_bit: u32| if mode & bit == 0 { 0 } else { 1_u32 << go_bit };
    (mode & 0o777) | kind | flag(0o4000, 23) | flag(0o2000, 22) | flag(0o1000, 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_gos() {
        assert_eq!(go_mode(0o100_644), 0o644);
        assert_eq!(go_mode(0o041_777), (1 << 31) | (1 << 20) | 0o777);
        assert_eq!(go_mode(0o120_777), (1 << 27) | 0o777);
        assert_eq!(go_mode(0o104_755), (1 << 23) | 0o755);
    }
}
