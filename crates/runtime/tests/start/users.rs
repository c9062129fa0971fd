//! User namespaces: whose ids a container has, and whose its files are.

use std::os::unix::fs::MetadataExt as _;

use runtime::launch::{Launch, Rootfs};
use serde_json::json;

use super::{bind, change, said};
use crate::scene::Scene;

/// Id of the container's root on the host.
const ROOT: u32 = 100_000;

/// Its ids are the 65,536 from [`ROOT`] on.
fn with_users(scene: &Scene, script: &str) -> Launch {
    let mut launch = scene.launch("box", script);
    let ids = json!([{ "containerID": 0, "hostID": ROOT, "size": 65536 }]);
    change(
        &mut launch,
        json!({ "linux": { "uidMappings": ids, "gidMappings": ids, "namespaces+": [{ "type": "user" }] } }),
    );
    let (upper, work) = (scene.path("layer/upper"), scene.path("layer/work"));
    for path in [&upper, &work] {
        std::fs::create_dir_all(path).unwrap();
    }
    launch.rootfs = Rootfs::Overlay {
        lower: vec![scene.path("rootfs")],
        upper,
        work,
    };
    launch
}

#[tokio::test]
async fn root_in_there_is_nobody_on_the_host_and_owns_the_containers_files() {
    let scene = Scene::new().await;
    let mut launch = with_users(
        &scene,
        "id -u; tr -s ' ' < /proc/self/uid_map; stat -c %u /bin/busybox /dev/null /proc/1; touch /new && stat -c %u /new",
    );
    assert_eq!(
        said(&scene, &mut launch).await,
        format!("0\n 0 {ROOT} 65536\n0\n65534\n0\n0\n")
    );
    // The mapping is the mount's: on the disk the file is root's.
    assert_eq!(
        std::fs::metadata(scene.path("layer/upper/new"))
            .unwrap()
            .uid(),
        0
    );
}

#[tokio::test]
async fn a_bind_mount_is_mapped_where_it_says_so() {
    let scene = Scene::new().await;
    let source = scene.path("source");
    std::fs::create_dir(&source).unwrap();
    let mut launch = with_users(
        &scene,
        "stat -c %u /plain /mapped; touch /plain/x; touch /mapped/x && stat -c %u /mapped/x",
    );
    change(
        &mut launch,
        json!({ "mounts+": [bind(&source, "/plain", &[]), bind(&source, "/mapped", &["idmap"])] }),
    );
    assert_eq!(
        said(&scene, &mut launch).await,
        "65534\n0\ntouch: /plain/x: Permission denied\n0\n"
    );
    assert_eq!(std::fs::metadata(source.join("x")).unwrap().uid(), 0);
}
