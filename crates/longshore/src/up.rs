//! `longshore up`: wires the crates together, serves, and stops without stopping containers.

use std::path::Path;
use std::sync::Arc;

use actions::Cloud;
use actions::identity::housekeeping;
use agent::{Agent, Announcement};
use anyhow::{Context, Result};
use controllers::Strategy;
use edge::metrics::Metrics;
use edge::server::serve;
use engine::host::{Host, HostConfig};
use local::ThisNode;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Options};
use crate::downloads::Web;
use crate::listeners;
use crate::lock::Lock;

/// Where the bridge prefix is written down, so that `down` finds what is the daemon's.
const BRIDGE_PREFIX_FILE: &str = "bridge-prefix";
/// Threads that serve. More would only make the idle daemon larger.
const MOST_WORKERS: usize = 8;

/// Runs the cloud until SIGTERM or SIGINT.
pub(crate) fn run(options: &Options) -> Result<()> {
    let config = options.resolve()?;
    crate::logging::start();
    runtime::memory::give_back_large_blocks();
    // Four for an instance with a network, and two or three for a published port.
    runtime::rlimits::raise_descriptors();
    std::fs::create_dir_all(&config.data_dir)
        .with_context(|| format!("make the data directory {}", config.data_dir.display()))?;
    let _lock = Lock::take(&config.data_dir)?;
    let workers = std::thread::available_parallelism()
        .map_or(2, usize::from)
        .clamp(2, MOST_WORKERS);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()?;
    let result = runtime.block_on(serve_until_told(&config));
    // A thread that waits for a slow disk does not keep the process.
    runtime.shutdown_background();
    result
}

async fn serve_until_told(config: &Config) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    record_bridge_prefix(config)?;

    let images =
        image::Store::open(&config.data_dir.join("images")).context("open the image store")?;
    let store = store::Store::embedded(&config.data_dir.join("store"))
        .await
        .context("open the store")?;
    let host = Host::open(HostConfig {
        data_dir: config.data_dir.clone(),
        keeper_program: std::env::current_exe().context("find our own program")?,
        bridge_prefix: config.bridge_prefix.clone(),
        network_pool: config.network_pool,
        images: images.clone(),
    });
    let host = Arc::new(host.await.context("open the engine")?);
    host.renew_keeper().await;
    let cloud = Cloud::new(store.clone(), images, Arc::new(ThisNode::new(host.clone())))
        .with_identity(config.identity.clone())
        .with_registry(config.registry.clone())
        .with_downloads(Web::new(config.image_places.clone()))
        .with_registries(image::registry::Registries::new(config.registries.clone()))
        .with_address_pools(config.address_pools.clone());
    let controllers = controllers::spawn_all(&store, Strategy::default());
    let agent = Agent::start(store, host.clone(), announcement(config)?)
        .await
        .context("start the agent")?;
    let ranges = actions::network::PredefinedRanges {
        default: config.default_network,
        external: config.external_network,
    };
    actions::network::ensure_predefined(&cloud, ranges)
        .await
        .context("make the predefined networks")?;
    actions::registered_image::recover(&cloud)
        .await
        .context("look at images that were coming in")?;
    actions::volume::recover(&cloud)
        .await
        .context("look at volumes that were being uploaded")?;

    actions::build::clear_away(&cloud)
        .await
        .context("remove what ran for builds")?;

    actions::server::resume(&cloud)
        .await
        .context("carry on with servers that were being made")?;

    let metrics = Metrics::default();
    crate::metrics::register(&metrics, &host);
    let shutdown = CancellationToken::new();
    let docker = front_docker::router(
        cloud.clone(),
        front_docker::Settings {
            data_dir: config.data_dir.clone(),
            registry: config.url.authority(),
            metrics: metrics.clone(),
        },
    );
    let listeners = listeners::bind(config).await?;
    let openstack = front_openstack::Settings {
        url: config.url.to_string(),
    };
    crate::operator::ensure(&cloud, config, &front_openstack::catalogue(&openstack)).await?;
    drop(tokio::spawn(housekeeping::run(cloud.clone())));
    drop(tokio::spawn(actions::registry::collect::run(cloud.clone())));
    if let Some(questions) = host.networks().questions() {
        drop(tokio::spawn(crate::metadata::serve(
            questions,
            cloud.clone(),
            shutdown.clone(),
        )));
    }
    if let Some(questions) = host.drives() {
        drop(tokio::spawn(crate::metadata::fill_drives(
            questions,
            cloud.clone(),
        )));
    }
    let http = edge::health::router(health(&host))
        .merge(metrics.router())
        .merge(front_openstack::router(cloud.clone(), openstack))
        .merge(front_registry::router(
            cloud.clone(),
            front_registry::Settings {
                is_tls: config.url.is_tls,
            },
        ));
    let http = edge::observe::observe(http, metrics);
    let mut servers = vec![tokio::spawn(serve(listeners.http, http, shutdown.clone()))];
    for listener in listeners.docker {
        let docker = docker.clone();
        servers.push(tokio::spawn(serve(listener, docker, shutdown.clone())));
    }
    announce(config);

    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping; containers go on");
    shutdown.cancel();
    for server in servers {
        server.await?;
    }
    agent.shut_down().await;
    controllers.shut_down().await;
    Ok(())
}

/// What this node is, for its record.
fn announcement(config: &Config) -> Result<Announcement> {
    let mut spec = agent::machine::read().context("look at this machine")?;
    spec.cgroup_version = engine::facts::cgroup_version();
    spec.has_io_weights = engine::facts::has_io_weights();
    spec.missing_capabilities = engine::facts::missing_capabilities();
    spec.disk_bytes = disk_bytes(&config.data_dir)?;
    spec.occupied = engine::facts::occupied_ranges(&config.bridge_prefix);
    Ok(Announcement {
        id: agent::identity::of(&config.data_dir).context("find out which node this is")?,
        name: rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned(),
        spec,
    })
}

/// Size of the file system that a directory is on.
fn disk_bytes(directory: &Path) -> Result<u64> {
    let facts = rustix::fs::statvfs(directory)
        .with_context(|| format!("look at the file system of {}", directory.display()))?;
    Ok(facts.f_blocks * facts.f_frsize)
}

/// Without its keeper the daemon can start nothing.
fn health(host: &Arc<Host>) -> edge::health::Check {
    let host = Arc::downgrade(host);
    Arc::new(move || match host.upgrade() {
        Some(host) if host.has_keeper() => Ok(()),
        Some(_) => Err("the keeper does not answer".to_owned()),
        None => Err("the daemon is stopping".to_owned()),
    })
}

/// The one line on standard output, which tells that everything answers.
fn announce(config: &Config) {
    tracing::info!(data_dir = %config.data_dir.display(), listen = %config.listen, "ready");
    #[expect(
        clippy::print_stdout,
        reason = "whoever started us waits for this line"
    )]
    {
        println!("ready: {}", config.url);
    }
}

fn record_bridge_prefix(config: &Config) -> Result<()> {
    let path = config.data_dir.join(BRIDGE_PREFIX_FILE);
    std::fs::write(&path, &config.bridge_prefix)
        .with_context(|| format!("write {}", path.display()))
}

/// The bridge prefix of the last daemon of a data directory; `None` where none ever ran.
pub(crate) fn recorded_bridge_prefix(data_dir: &Path) -> Result<Option<String>> {
    let path = data_dir.join(BRIDGE_PREFIX_FILE);
    match std::fs::read_to_string(&path) {
        Ok(prefix) => Ok(Some(prefix)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
    }
}
