//! Pulling from registries, good ones and bad ones.

use std::error::Error;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::registry::Credentials;
use image::{LayerStage, PullError, PullRequest, PullStep};
use serde_json::json;

use crate::Fixture;
use crate::samples::{Layer, Sample, Tar, digest};
use crate::server::{
    Content, INDEX, MANIFEST, Reply, Server, manifest, pull, pull_as, refusal, registries,
};

fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    (0..bytes)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[0]
        })
        .collect()
}

fn sample(files: &[(&str, usize)]) -> Sample {
    let layers = files
        .iter()
        .map(|(name, bytes)| Layer::gzip(Tar::new().file(name, noise(*bytes))));
    Sample::new(layers.collect(), &[])
}

fn said(error: &PullError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Everything is as if nothing had been pulled.
async fn assert_untouched(fixture: &Fixture) {
    // What was given up is taken away on threads of its own.
    for _ in 0..200 {
        if fixture.entries("staging").is_empty() && fixture.entries("layers").is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    fixture.assert_empty();
}

#[tokio::test]
async fn an_image_is_pulled_once_and_known_by_tag_and_digest() {
    let fixture = Fixture::new();
    let sample = sample(&[("base", 10), ("top", 20)]);
    let server = Server::start(Content::default().with(&sample, "1"), |_| None).await;
    let (pulled, steps) = pull_as(&fixture.store, &server, "app:1", None, None).await;
    let pulled = pulled.unwrap();
    let text = manifest(&sample).to_string();
    assert_eq!(pulled.id, sample.id());
    assert_eq!(pulled.digest, digest(text.as_bytes()));
    assert!(pulled.is_new);
    let finished = steps.iter().filter(|step| {
        matches!(
            step,
            PullStep::Layer {
                stage: LayerStage::Pulled,
                ..
            }
        )
    });
    assert_eq!(finished.count(), 2, "{steps:?}");

    let image = fixture
        .store
        .get(&format!("{}/app:1", server.address()))
        .unwrap();
    let name = format!("{}/app@{}", server.address(), pulled.digest);
    assert_eq!(image.digests, std::slice::from_ref(&name));
    assert_eq!(fixture.store.get(&name).unwrap().id, image.id);
    assert_eq!(fixture.store.layers(&image.id).unwrap().len(), 2);

    let before = server.asked("").len();
    assert!(!pull(&fixture.store, &server, "app:1").await.unwrap().is_new);
    let asked = server.asked("");
    assert_eq!(
        asked.len() - before,
        1 + 1,
        "TLS is not tried for ever: {asked:?}"
    );
    assert_eq!(asked.last().unwrap().method, "HEAD");

    let fixture = fixture.reopen();
    assert_eq!(fixture.store.get(&name).unwrap().id, image.id);
}

#[tokio::test]
async fn what_is_here_does_not_move() {
    let fixture = Fixture::new();
    let (one, two) = (
        sample(&[("base", 1000), ("one", 10)]),
        sample(&[("base", 1000), ("two", 10)]),
    );
    let content = Content::default().with(&one, "1").with(&two, "2");
    let server = Server::start(content, |_| None).await;
    pull(&fixture.store, &server, "app:1").await.unwrap();
    let (pulled, steps) = pull_as(&fixture.store, &server, "app:2", None, None).await;
    pulled.unwrap();
    let base = digest(&one.layers[0].packed);
    assert!(
        steps.contains(&PullStep::Known {
            layer: base.clone()
        }),
        "{steps:?}"
    );
    assert_eq!(server.asked(&base).len(), 1);
}

#[tokio::test]
async fn what_breaks_off_is_taken_up_where_it_was() {
    for knows_ranges in [true, false] {
        let fixture = Fixture::new();
        let sample = sample(&[("file", 100_000)]);
        let blob = sample.layers[0].packed.clone();
        let wanted = digest(&blob);
        let server = Server::start(Content::default().with(&sample, "1"), move |asked| {
            if !asked.path.ends_with(&wanted) {
                return None;
            }
            match asked.before {
                0 => Some(Reply::new(200, blob.clone()).breaking_after(30_000)),
                _ if knows_ranges => None,
                _ => Some(Reply::new(200, blob.clone())),
            }
        })
        .await;
        pull(&fixture.store, &server, "app:1").await.unwrap();
        let asked = server.asked(&digest(&sample.layers[0].packed));
        assert_eq!(asked.len(), 2);
        assert_eq!(asked[1].header("range"), Some("bytes=30000-"));
    }
}

#[tokio::test]
async fn a_busy_registry_is_asked_again_but_not_for_ever() {
    for (status, times, works) in [
        (503, 2, true),
        (429, 2, true),
        (503, 9, false),
        (404, 1, false),
    ] {
        let fixture = Fixture::new();
        let sample = sample(&[("file", 10)]);
        let layer = digest(&sample.layers[0].packed);
        let server = Server::start(Content::default().with(&sample, "1"), move |asked| {
            let is_it = asked.path.ends_with(&layer) && asked.before < times;
            is_it.then(|| refusal(status, "TOOMANYREQUESTS").with("Retry-After", "0"))
        })
        .await;
        let pulled = pull(&fixture.store, &server, "app:1").await;
        assert_eq!(pulled.is_ok(), works, "{status} {times}: {pulled:?}");
        let asked = server.asked(&digest(&sample.layers[0].packed)).len();
        let expected = if status == 404 { 1 } else { 3 };
        assert_eq!(asked, expected, "{status} {times}");
        if !works {
            assert_untouched(&fixture).await;
        }
    }
}

#[tokio::test]
async fn wrong_content_is_no_image() {
    let sample = sample(&[("file", 5000)]);
    let blob = sample.layers[0].packed.clone();
    let mut flipped = blob.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let mut middle = blob.clone();
    middle[2500] ^= 1;
    let longer = [blob.clone(), b"more".to_vec()].concat();
    let shorter = blob[..blob.len() - 1].to_vec();
    for (sent, words) in [
        (flipped, "filesystem layer verification failed"),
        (middle, "filesystem layer verification failed"),
        (vec![0; blob.len()], "filesystem layer verification failed"),
        (longer, "but the registry sends more"),
        (shorter, "but the registry sends"),
    ] {
        let fixture = Fixture::new();
        let layer = digest(&blob);
        let server = Server::start(Content::default().with(&sample, "1"), move |asked| {
            asked
                .path
                .ends_with(&layer)
                .then(|| Reply::new(200, sent.clone()))
        })
        .await;
        let error = pull(&fixture.store, &server, "app:1").await.unwrap_err();
        assert!(said(&error).contains(words), "{}", said(&error));
        assert_untouched(&fixture).await;
    }
}

#[tokio::test]
async fn manifests_that_are_not_understood_are_refused() {
    let sample = sample(&[("file", 10)]);
    let good = manifest(&sample);
    let with = |path: &str, value: serde_json::Value| {
        let mut document = good.clone();
        *document.pointer_mut(path).unwrap() = value;
        document.to_string()
    };
    let foreign = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
    for (media_type, text, words) in [
        (
            MANIFEST,
            with("/layers/0/mediaType", foreign.into()),
            "may not be distributed",
        ),
        (
            MANIFEST,
            with("/layers/0/mediaType", "application/vnd.example".into()),
            "unsupported media type application/vnd.example",
        ),
        (
            MANIFEST,
            with(
                "/config/mediaType",
                "application/vnd.cncf.helm.config.v1+json".into(),
            ),
            "unsupported media type application/vnd.cncf.helm.config.v1+json",
        ),
        (
            MANIFEST,
            with("/layers", json!([])),
            "layers from manifest don't match",
        ),
        (
            MANIFEST,
            with("/config/size", 100_000_000.into()),
            "too many for one",
        ),
        (
            MANIFEST,
            with("/layers/0/digest", "sha256:../../etc".into()),
            "understand manifest",
        ),
        (MANIFEST, "not JSON".to_owned(), "understand manifest"),
        (
            "application/vnd.docker.distribution.manifest.v1+prettyjws",
            json!({ "schemaVersion": 1, "name": "x" }).to_string(),
            "schema 1",
        ),
        (
            INDEX,
            json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [] }).to_string(),
            "no matching manifest for",
        ),
    ] {
        let fixture = Fixture::new();
        let mut content = Content::default().with(&sample, "good");
        content
            .manifests
            .push((media_type.to_owned(), text.clone(), vec!["1".to_owned()]));
        let server = Server::start(content, |_| None).await;
        let error = pull(&fixture.store, &server, "app:1").await.unwrap_err();
        assert!(said(&error).contains(words), "{}: {text}", said(&error));
        assert_untouched(&fixture).await;
    }
}

#[tokio::test]
async fn a_manifest_is_what_it_was_asked_by() {
    let fixture = Fixture::new();
    let sample = sample(&[("file", 10)]);
    let asked_for = format!("app@sha256:{}", "1".repeat(64));
    let text = manifest(&sample).to_string();
    let server = Server::start(Content::default().with(&sample, "1"), move |asked| {
        let reply = Reply::new(200, text.as_bytes()).with("Content-Type", MANIFEST);
        asked.path.contains("/manifests/").then_some(reply)
    })
    .await;
    let error = pull(&fixture.store, &server, &asked_for).await.unwrap_err();
    assert!(
        said(&error).contains("manifest verification failed"),
        "{error}"
    );
    let endless = Server::start(Content::default(), |asked| {
        let reply = Reply::new(200, vec![b' '; 5 << 20]);
        asked.path.contains("/manifests/").then_some(reply)
    })
    .await;
    let error = pull(&fixture.store, &endless, "app:1").await.unwrap_err();
    assert!(said(&error).contains("has more than"), "{error}");
    assert_untouched(&fixture).await;
}

#[tokio::test]
async fn an_index_has_an_image_for_the_platform() {
    let fixture = Fixture::new();
    let native = sample(&[("native", 10)]);
    let mut foreign = sample(&[("foreign", 10)]);
    foreign.config["architecture"] = "s390x".into();
    let mut content = Content::default()
        .with(&native, "native")
        .with(&foreign, "foreign");
    let entry = |sample: &Sample, architecture: &str| {
        let text = manifest(sample).to_string();
        json!({
            "mediaType": MANIFEST, "digest": digest(text.as_bytes()), "size": text.len(),
            "platform": { "os": "linux", "architecture": architecture },
        })
    };
    let index = json!({
        "schemaVersion": 2, "mediaType": INDEX,
        "manifests": [entry(&foreign, "s390x"), entry(&native, "amd64"), entry(&native, "arm64")],
    });
    content
        .manifests
        .push((INDEX.to_owned(), index.to_string(), vec!["1".to_owned()]));
    let server = Server::start(content, |_| None).await;
    let pulled = pull(&fixture.store, &server, "app:1").await.unwrap();
    assert_eq!(pulled.id, native.id());
    assert_eq!(pulled.digest, digest(index.to_string().as_bytes()));
    let platform = || Some("linux/s390x".parse().unwrap());
    let (other, _) = pull_as(&fixture.store, &server, "app:1", None, platform()).await;
    assert_eq!(other.unwrap().id, foreign.id());
    let (wrong, _) = pull_as(&fixture.store, &server, "app:native", None, platform()).await;
    let error = wrong.unwrap_err();
    assert!(
        said(&error).contains("does not match the specified platform (linux/s390x)"),
        "{error}"
    );
}

#[tokio::test]
async fn credentials_go_to_the_registry_and_to_its_service_of_tokens_only() {
    let fixture = Fixture::new();
    let sample = sample(&[("file", 10)]);
    let elsewhere = Server::start(Content::default().with(&sample, "1"), |_| None).await;
    let tokens = Server::start(Content::default(), |asked| {
        let good = format!("Basic {}", STANDARD.encode("me:secret"));
        Some(if asked.header("authorization") == Some(good.as_str()) {
            Reply::new(200, json!({ "token": "t0ken" }).to_string())
        } else {
            refusal(401, "UNAUTHORIZED")
        })
    })
    .await;
    let (target, realm) = (elsewhere.address().to_owned(), tokens.address().to_owned());
    let server = Server::start(Content::default().with(&sample, "1"), move |asked| {
        if asked.header("authorization") != Some("Bearer t0ken") {
            let challenge =
                format!("Bearer realm=\"http://{realm}/token\",service=\"tests\",scope=\"repository:app:pull\"");
            return Some(refusal(401, "UNAUTHORIZED").with("WWW-Authenticate", challenge));
        }
        let blob = asked.path.split_once("/blobs/")?.1;
        let location = format!("http://{target}/v2/x/blobs/{blob}");
        Some(Reply::new(307, "").with("Location", location))
    })
    .await;
    let password = |password: &str| {
        Some(Credentials::Password {
            user: "me".to_owned(),
            password: password.to_owned(),
        })
    };
    let (wrong, _) = pull_as(&fixture.store, &server, "app:1", password("wrong"), None).await;
    assert!(wrong.unwrap_err().registry().unwrap().is_unauthorized());
    let (pulled, _) = pull_as(&fixture.store, &server, "app:1", password("secret"), None).await;
    pulled.unwrap();
    let token = &tokens.asked("/token")[1].path;
    assert!(
        token.contains("service=tests") && token.contains("scope=repository%3Aapp%3Apull"),
        "{token}"
    );
    let shown = |server: &Server| -> Vec<String> {
        let asked = server.asked("");
        let headers = asked
            .iter()
            .filter_map(|asked| asked.header("authorization"));
        headers.map(str::to_owned).collect()
    };
    assert!(shown(&server).iter().all(|header| header == "Bearer t0ken"));
    assert_eq!(elsewhere.asked("/blobs/").len(), 2);
    assert_eq!(shown(&elsewhere), [""; 0]);
}

/// CVE-2020-15157: an image named addresses of its own for a layer, and was sent the registry's password.
#[tokio::test]
async fn addresses_that_an_image_names_are_not_asked() {
    let fixture = Fixture::new();
    let sample = sample(&[("file", 10)]);
    let strangers = Server::start(Content::default().with(&sample, "1"), |_| None).await;
    let mut content = Content::default().with(&sample, "1");
    content.blobs.retain(|blob| *blob == sample.config_text());
    let mut named = manifest(&sample);
    let blob = named["layers"][0]["digest"].as_str().unwrap().to_owned();
    let address = format!("http://{}/v2/x/blobs/{blob}", strangers.address());
    named["layers"][0]["urls"] = json!([address]);
    content.manifests[0].1 = named.to_string();
    let server = Server::start(content, |asked| {
        let is_known = asked.header("authorization").is_some();
        (!is_known)
            .then(|| refusal(401, "UNAUTHORIZED").with("WWW-Authenticate", "Basic realm=\"x\""))
    })
    .await;
    let password = Credentials::Password {
        user: "me".to_owned(),
        password: "secret".to_owned(),
    };
    let (pulled, _) = pull_as(&fixture.store, &server, "app:1", Some(password), None).await;
    assert!(pulled.unwrap_err().registry().unwrap().is_not_found());
    assert_eq!(server.asked(&blob).len(), 1);
    assert_eq!(strangers.asked("").len(), 0);
    assert_untouched(&fixture).await;
}

#[tokio::test]
async fn a_registry_that_wants_a_password_says_so() {
    let fixture = Fixture::new();
    let server = Server::start(Content::default(), |_| {
        Some(refusal(401, "UNAUTHORIZED").with("WWW-Authenticate", "Basic realm=\"x\""))
    })
    .await;
    let error = pull(&fixture.store, &server, "app:1").await.unwrap_err();
    assert!(
        said(&error).contains("no basic auth credentials"),
        "{error}"
    );
}

#[tokio::test]
async fn a_redirection_does_not_lead_in_circles_or_to_other_plain_hosts() {
    for (location, words) in [
        ("/v2/app/manifests/1", "without end"),
        ("http://192.0.2.1/x", "away from encryption"),
        ("file:///etc/passwd", "leads nowhere"),
    ] {
        let fixture = Fixture::new();
        let server = Server::start(Content::default(), move |asked| {
            let reply = Reply::new(302, "").with("Location", location);
            asked.path.contains("/manifests/").then_some(reply)
        })
        .await;
        let error = pull(&fixture.store, &server, "app:1").await.unwrap_err();
        assert!(said(&error).contains(words), "{location}: {}", said(&error));
    }
}

#[tokio::test]
async fn two_pulls_share_a_download_and_one_may_leave() {
    let fixture = Fixture::new();
    let sample = sample(&[("file", 400_000)]);
    let layer = digest(&sample.layers[0].packed);
    let server = Server::start(
        Content::default().with(&sample, "1").with(&sample, "2"),
        |_| None,
    )
    .await;
    server.gate.forget_permits(usize::MAX);
    let begin = |name: &str| {
        let (store, request) = (
            fixture.store.clone(),
            PullRequest {
                reference: server.reference(name),
                platform: None,
                credentials: None,
            },
        );
        let (seen, begun) = tokio::sync::oneshot::channel();
        let seen = std::sync::Mutex::new(Some(seen));
        let pulling = tokio::spawn(async move {
            let tell = move |step: PullStep| {
                let is_moving = matches!(
                    step,
                    PullStep::Layer {
                        stage: LayerStage::Downloading { .. },
                        ..
                    }
                );
                if is_moving && let Some(seen) = seen.lock().unwrap().take() {
                    seen.send(()).unwrap();
                }
            };
            store.pull(&registries(), &request, &tell).await
        });
        (pulling, begun)
    };
    let (first, first_begun) = begin("app:1");
    first_begun.await.unwrap();
    let (second, second_begun) = begin("app:2");
    second_begun.await.unwrap();
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    server.gate.add_permits(10);
    assert_eq!(second.await.unwrap().unwrap().id, sample.id());
    assert_eq!(server.asked(&layer).len(), 1);
    assert_eq!(fixture.store.list()[0].tags.len(), 1);
}

#[tokio::test]
async fn nobody_waits_nothing_stays() {
    let fixture = Fixture::new();
    let sample = sample(&[("file", 400_000)]);
    let server = Server::start(Content::default().with(&sample, "1"), |_| None).await;
    server.gate.forget_permits(usize::MAX);
    let (store, request) = (
        fixture.store.clone(),
        PullRequest {
            reference: server.reference("app:1"),
            platform: None,
            credentials: None,
        },
    );
    let pulling =
        tokio::spawn(async move { store.pull(&registries(), &request, &|_| {}).await.map(drop) });
    while server.asked(&digest(&sample.layers[0].packed)).is_empty() {
        tokio::task::yield_now().await;
    }
    pulling.abort();
    drop(pulling.await);
    assert_untouched(&fixture).await;
}
