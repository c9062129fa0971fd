//! Instances that ask about themselves: leads each connection that the engine hands on to the front
//! end's metadata service, as the instance that it comes from.

use actions::Cloud;
use engine::network::Asked;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Serves them until the daemon ends.
pub(crate) async fn serve(
    mut questions: mpsc::Receiver<Asked>,
    cloud: Cloud,
    shutdown: CancellationToken,
) {
    while let Some(asked) = questions.recv().await {
        let router = front_openstack::metadata::router(cloud.clone(), asked.instance);
        let shutdown = shutdown.clone();
        drop(tokio::spawn(async move {
            edge::server::serve_connection(Box::new(asked.stream), router, shutdown).await;
            drop(asked.permit);
        }));
    }
}
