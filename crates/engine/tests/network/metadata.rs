//! Who asks 169.254.169.254 is known by where they ask.

use std::net::TcpListener;

use model::guest::Guest;
use model::instance::InstanceSpec;
use tokio::io::AsyncWriteExt as _;

use super::node::{Node, inside, is_cut_off, reach};

const ADDRESS: &str = "169.254.169.254";

fn told(spec: &mut InstanceSpec) {
    spec.guest = Some(Guest::default());
}

/// Answers everybody with their own identity.
fn answer(node: &Node) {
    let mut questions = node.networks().questions().unwrap();
    tokio::spawn(async move {
        while let Some(mut asked) = questions.recv().await {
            let who = asked.instance.to_string();
            asked.stream.write_all(who.as_bytes()).await.unwrap();
        }
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_instance_asks_as_itself() {
    let mut node = Node::open().await;
    answer(&node);
    let network = node.network("net", |_| {});
    let closed = node.network("closed", |spec| spec.internal = true);
    let one = node.attach("one", &[&network], told).await;
    let other = node.attach("other", &[&closed], told).await;
    let alone = node.attach("alone", &[], told).await;
    let untold = node.attach("untold", &[&network], |_| {}).await;
    let address = ADDRESS.parse().unwrap();
    // Its own port 80 is free for it, also while somebody asks.
    let _own = inside(&one, || TcpListener::bind("0.0.0.0:80").unwrap());
    for asking in [&one, &other, &alone] {
        assert_eq!(reach(asking, address, 80).unwrap(), asking.id.to_string());
    }
    assert!(reach(&untold, address, 80).is_err() || is_cut_off(&untold, address, 80));
    // The next daemon answers, too.
    node.restart(|| {}).await;
    answer(&node);
    assert_eq!(reach(&one, address, 80).unwrap(), one.id.to_string());
    node.close().await;
}
