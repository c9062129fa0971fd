//! Instances that ask about themselves: leads each connection that the engine hands on to the front
//! end's metadata service, as the instance that it comes from, and has the front end say what is on
//! configuration drives.

use actions::Cloud;
use engine::drive;
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

/// Says what is on drives until the daemon ends.
pub(crate) async fn fill_drives(mut questions: mpsc::Receiver<drive::Asked>, cloud: Cloud) {
    while let Some(asked) = questions.recv().await {
        match front_openstack::metadata::drive::files(&cloud, asked.instance) {
            Ok(files) => {
                let files = files.into_iter().map(|(path, content)| drive::File {
                    path: path.into(),
                    content,
                });
                // Who asked may have gone.
                drop(asked.answer.send(files.collect()));
            }
            Err(error) => tracing::warn!(
                instance = %asked.instance,
                error = &error as &dyn std::error::Error,
                "there is nothing to write on a configuration drive"
            ),
        }
    }
}
