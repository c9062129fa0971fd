//! Blobs in pieces, both ways, and what is wrong with requests: the answers that no client shows.

use tests::distribution::{code, digest_of};

use super::registry;

const SCOPE: &str = "repository:admin/pieces:pull,push,delete";
const OCTETS: &str = "application/octet-stream";

#[test]
fn a_blob_goes_in_in_order_only_and_comes_out_in_any() {
    let Some((_daemon, registry)) = registry() else {
        return;
    };
    let mut api = registry.api(SCOPE).unwrap();
    let begun = api
        .raw("POST", "/v2/admin/pieces/blobs/uploads/", OCTETS, b"")
        .unwrap();
    assert_eq!(begun.status, 202);
    let location = begun.header("location").unwrap().to_owned();
    let mut later = registry.api(SCOPE).unwrap().with("Content-Range", "5-9");
    let refused = later.raw("PATCH", &location, OCTETS, b"fghij").unwrap();
    assert_eq!(refused.status, 416);
    assert_eq!(code(&refused), "BLOB_UPLOAD_INVALID");
    assert_eq!(refused.header("range"), Some("0-0"));
    let mut first = registry.api(SCOPE).unwrap().with("Content-Range", "0-4");
    let taken = first.raw("PATCH", &location, OCTETS, b"abcde").unwrap();
    assert_eq!((taken.status, taken.header("range")), (202, Some("0-4")));
    let taken = later.raw("PATCH", &location, OCTETS, b"fghij").unwrap();
    assert_eq!((taken.status, taken.header("range")), (202, Some("0-9")));

    let digest = digest_of(b"abcdefghijkl");
    let done = api
        .raw("PUT", &format!("{location}?digest={digest}"), OCTETS, b"kl")
        .unwrap();
    assert_eq!(done.status, 201);
    let blob = format!("/v2/admin/pieces/blobs/{digest}");
    assert_eq!(done.header("location"), Some(blob.as_str()));
    let gone = api.raw("GET", &location, OCTETS, b"").unwrap();
    assert_eq!(
        (gone.status, code(&gone).as_str()),
        (404, "BLOB_UPLOAD_UNKNOWN")
    );

    assert_eq!(api.call("GET", &blob, None).unwrap().body, b"abcdefghijkl");
    let mut part = registry.api(SCOPE).unwrap().with("Range", "bytes=2-3");
    let found = part.call("GET", &blob, None).unwrap();
    assert_eq!((found.status, found.body.as_slice()), (206, &b"cd"[..]));
    assert_eq!(found.header("content-range"), Some("bytes 2-3/12"));
    let mut outside = registry.api(SCOPE).unwrap().with("Range", "bytes=12-");
    assert_eq!(outside.call("GET", &blob, None).unwrap().status, 416);
    assert_eq!(api.call("DELETE", &blob, None).unwrap().status, 202);
    assert_eq!(api.call("GET", &blob, None).unwrap().status, 404);
}

#[test]
fn what_is_wrong_is_told_by_its_code() {
    let Some((_daemon, registry)) = registry() else {
        return;
    };
    let mut api = registry.api(SCOPE).unwrap();
    let digest = digest_of(b"x");
    let other = digest_of(b"y");
    let image = format!(
        r#"{{"schemaVersion":2,"config":{{"mediaType":"a/b","digest":"{digest}","size":1}},"layers":[]}}"#
    );
    let deep = "/../".repeat(40);
    let large = " ".repeat((4 << 20) + 1);
    for (method, path, body, expected) in [
        (
            "GET",
            "blobs/sha256:0".to_owned(),
            "",
            (400, "DIGEST_INVALID"),
        ),
        ("GET", format!("blobs/{digest}"), "", (404, "BLOB_UNKNOWN")),
        (
            "POST",
            format!("blobs/uploads/?digest={other}"),
            "x",
            (400, "DIGEST_INVALID"),
        ),
        (
            "PATCH",
            "blobs/uploads/7".to_owned(),
            "x",
            (404, "BLOB_UPLOAD_UNKNOWN"),
        ),
        (
            "PUT",
            "manifests/ok".to_owned(),
            "{",
            (400, "MANIFEST_INVALID"),
        ),
        (
            "PUT",
            "manifests/ok".to_owned(),
            "",
            (400, "MANIFEST_INVALID"),
        ),
        (
            "PUT",
            "manifests/ok".to_owned(),
            &image,
            (404, "MANIFEST_BLOB_UNKNOWN"),
        ),
        (
            "PUT",
            "manifests/-no".to_owned(),
            &image,
            (400, "NAME_INVALID"),
        ),
        (
            "PUT",
            format!("manifests/{other}"),
            &image,
            (400, "DIGEST_INVALID"),
        ),
        (
            "PUT",
            "manifests/ok".to_owned(),
            &large,
            (413, "SIZE_INVALID"),
        ),
        (
            "GET",
            "manifests/none".to_owned(),
            "",
            (404, "MANIFEST_UNKNOWN"),
        ),
        ("GET", "tags/list?n=-1".to_owned(), "", (400, "UNSUPPORTED")),
        ("POST", "tags/list".to_owned(), "", (405, "UNSUPPORTED")),
        ("GET", format!("manifests/{deep}"), "", (404, "UNSUPPORTED")),
        ("GET", "nothing".to_owned(), "", (404, "UNSUPPORTED")),
    ] {
        // The repository is there.
        registry.push_blob("admin/pieces", b"there").unwrap();
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let reply = api
            .raw(
                method,
                &format!("/v2/admin/pieces/{path}"),
                kind,
                body.as_bytes(),
            )
            .unwrap();
        assert_eq!(
            (reply.status, code(&reply).as_str()),
            expected,
            "{method} {path}: {}",
            String::from_utf8_lossy(&reply.body)
        );
    }
    let reply = api.call("GET", "/v2/admin/Upper/tags/list", None).unwrap();
    assert_eq!((reply.status, code(&reply).as_str()), (400, "NAME_INVALID"));
    let mut none = registry.api("repository:admin/none:pull").unwrap();
    let reply = none.call("GET", "/v2/admin/none/tags/list", None).unwrap();
    assert_eq!((reply.status, code(&reply).as_str()), (404, "NAME_UNKNOWN"));
}

#[test]
fn a_blob_that_a_manifest_needs_stays() {
    let Some((_daemon, registry)) = registry() else {
        return;
    };
    let mut api = registry
        .api("repository:admin/needed:pull,push,delete")
        .unwrap();
    let digest = registry.push_blob("admin/needed", b"{}").unwrap();
    let image = format!(
        r#"{{"schemaVersion":2,"config":{{"mediaType":"a/b","digest":"{digest}","size":2}},"layers":[]}}"#
    );
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let pushed = api
        .raw(
            "PUT",
            "/v2/admin/needed/manifests/1",
            kind,
            image.as_bytes(),
        )
        .unwrap();
    assert_eq!(pushed.status, 201);
    let blob = format!("/v2/admin/needed/blobs/{digest}");
    let refused = api.call("DELETE", &blob, None).unwrap();
    assert_eq!(
        (refused.status, code(&refused).as_str()),
        (405, "UNSUPPORTED")
    );
    let manifest = pushed.header("location").unwrap();
    assert_eq!(api.call("DELETE", manifest, None).unwrap().status, 202);
    assert_eq!(api.call("DELETE", &blob, None).unwrap().status, 202);
}
