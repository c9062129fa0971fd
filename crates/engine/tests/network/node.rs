//! A node for tests: a prefix, a data directory and subnets of its own, and programs inside.

#![allow(
    clippy::unwrap_used,
    reason = "a test whose node cannot be made ends there"
)]

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::ops::Deref;
use std::os::fd::AsFd as _;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use engine::network::{Guard, NetworkConfig, NetworkError, Networks, Sandbox};
use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{Name, RData, RecordType};
use jiff::Timestamp;
use model::instance::{Attachment, Endpoint, Instance, InstanceSpec};
use model::network::{Cidr, Network, NetworkSpec};
use model::subnet::Subnet;
use model::{Id, Meta, ProjectId};

/// What answers does so within this, though a packet is lost on the way.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long silence is taken for a wall.
const SILENCE: Duration = Duration::from_millis(400);

/// Numbers of subnets and of addresses, so that no two tests share one.
static SUBNETS: AtomicU32 = AtomicU32::new(1);
static ADDRESSES: AtomicU32 = AtomicU32::new(0);

pub(super) struct Node {
    networks: Option<Arc<Networks>>,
    pub(super) prefix: String,
    directory: tempfile::TempDir,
}

/// A sandbox and whose it is.
#[derive(Debug)]
pub(super) struct Attached {
    pub(super) id: Id,
    instance: Instance,
    sandbox: Sandbox,
}

impl Deref for Attached {
    type Target = Sandbox;

    fn deref(&self) -> &Sandbox {
        &self.sandbox
    }
}

impl Attached {
    pub(super) fn address(&self, at: usize) -> IpAddr {
        self.sandbox.endpoints[at].ipv4.unwrap().0.into()
    }
}

impl Node {
    pub(super) async fn open() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let prefix = format!("t{:05x}", rand::random::<u32>() >> 12);
        let networks = open(&prefix, directory.path()).await;
        Self {
            networks: Some(networks),
            prefix,
            directory,
        }
    }

    /// Ends the daemon, and begins another, with `between` in between.
    pub(super) async fn restart(&mut self, between: impl FnOnce()) {
        drop(self.networks.take());
        between();
        self.networks = Some(open(&self.prefix, self.directory.path()).await);
    }

    pub(super) fn networks(&self) -> &Networks {
        self.networks.as_ref().unwrap()
    }

    /// Shuts down, and holds the node against what it was.
    pub(super) async fn close(&self) {
        self.networks().shutdown().await.unwrap();
        assert_eq!(node_state(&self.prefix), Vec::<String>::new());
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(
            !mounts.contains(&*self.directory.path().to_string_lossy()),
            "{mounts}"
        );
    }

    pub(super) fn network(&self, name: &str, change: impl FnOnce(&mut NetworkSpec)) -> Network {
        let at = SUBNETS.fetch_add(1, Ordering::Relaxed);
        let cidr = Cidr::new(
            Ipv4Addr::new(10, 231, u8::try_from(at).unwrap(), 0).into(),
            24,
        )
        .unwrap();
        let mut spec = NetworkSpec {
            subnets: vec![Subnet::new(cidr, cidr.nth(1), Timestamp::now())],
            ..NetworkSpec::default()
        };
        change(&mut spec);
        Network {
            meta: Meta::new(name, ProjectId::ADMIN, Timestamp::now()),
            spec,
        }
    }

    pub(super) async fn attach(
        &self,
        name: &str,
        networks: &[&Network],
        change: impl FnOnce(&mut InstanceSpec),
    ) -> Attached {
        self.try_attach(name, networks, change).await.unwrap()
    }

    pub(super) async fn try_attach(
        &self,
        name: &str,
        networks: &[&Network],
        change: impl FnOnce(&mut InstanceSpec),
    ) -> Result<Attached, NetworkError> {
        let mut spec = InstanceSpec {
            hostname: format!("{name}-host"),
            attachments: networks.iter().map(|network| attachment(network)).collect(),
            ..InstanceSpec::default()
        };
        change(&mut spec);
        let instance = Instance {
            meta: Meta::new(name, ProjectId::ADMIN, Timestamp::now()),
            spec,
        };
        let endpoints: Vec<Endpoint> = networks.iter().map(|network| endpoint(network)).collect();
        let networks: Vec<Network> = networks.iter().copied().cloned().collect();
        let sandbox = self
            .networks()
            .attach(&instance, &endpoints, &networks)
            .await?;
        Ok(Attached {
            id: instance.meta.id,
            instance,
            sandbox,
        })
    }

    /// Tells the networks of a changed record.
    pub(super) async fn change(&self, of: &Attached, change: impl FnOnce(&mut Instance)) {
        let mut instance = of.instance.clone();
        change(&mut instance);
        self.networks().rename(&instance).await.unwrap().unwrap();
    }

    pub(super) async fn connect(&self, to: &mut Attached, network: &Network) {
        to.sandbox = self
            .networks()
            .connect(&to.instance, &endpoint(network), network)
            .await
            .unwrap();
    }

    /// Attaches an instance that plugs into ports.
    pub(super) async fn plug(&self, name: &str, ports: &[(&Network, &Guard)]) -> Attached {
        let mut attachments = Vec::new();
        let mut endpoints = Vec::new();
        for (network, guard) in ports {
            self.networks().guard(guard).await.unwrap();
            attachments.push(Attachment {
                port: Some(guard.port),
                ..Attachment::new(network.meta.id)
            });
            let mut endpoint = Endpoint {
                network: network.meta.id,
                id: guard.port,
                port: true,
                ipv4: None,
                ipv6: None,
                more: Vec::new(),
                mac: guard.mac.clone(),
            };
            for address in &guard.addresses {
                match address {
                    IpAddr::V4(v4) => endpoint.ipv4 = Some((*v4, 24)),
                    IpAddr::V6(v6) => endpoint.ipv6 = Some((*v6, 64)),
                }
            }
            endpoints.push(endpoint);
        }
        let instance = Instance {
            meta: Meta::new(name, ProjectId::ADMIN, Timestamp::now()),
            spec: InstanceSpec {
                attachments,
                ..InstanceSpec::default()
            },
        };
        let networks: Vec<Network> = ports
            .iter()
            .map(|(network, _)| (*network).clone())
            .collect();
        let sandbox = self
            .networks()
            .attach(&instance, &endpoints, &networks)
            .await
            .unwrap();
        Attached {
            id: instance.meta.id,
            instance,
            sandbox,
        }
    }

    pub(super) async fn disconnect(&self, from: &mut Attached, network: &Network) {
        let mut endpoints = from.sandbox.endpoints.iter();
        let endpoint = endpoints
            .find(|endpoint| endpoint.network == network.meta.id)
            .unwrap();
        from.sandbox = self
            .networks()
            .disconnect(from.id, endpoint.id)
            .await
            .unwrap();
    }
}

/// A test that fails leaves nothing either.
impl Drop for Node {
    fn drop(&mut self) {
        if let Some(networks) = self.networks.take().filter(|_| std::thread::panicking()) {
            tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current()
                    .block_on(networks.shutdown())
                    .ok();
            });
        }
    }
}

async fn open(prefix: &str, directory: &std::path::Path) -> Arc<Networks> {
    let config = NetworkConfig {
        data_dir: directory.to_owned(),
        bridge_prefix: prefix.to_owned(),
        pool_size: 3,
    };
    Networks::open(config).await.unwrap()
}

fn attachment(network: &Network) -> Attachment {
    Attachment::new(network.meta.id)
}

fn endpoint(network: &Network) -> Endpoint {
    let at = ADDRESSES.fetch_add(1, Ordering::Relaxed);
    let [_, _, high, low] = at.to_be_bytes();
    let address = |subnet: &Subnet| {
        let prefix = subnet.cidr.prefix();
        let hosts = if prefix < 24 { 60_000 } else { 200 };
        (subnet.cidr.nth((at % hosts + 2).into()).unwrap(), prefix)
    };
    let mut endpoint = Endpoint {
        network: network.meta.id,
        id: Id::random(),
        ipv4: None,
        ipv6: None,
        more: Vec::new(),
        port: false,
        mac: format!("02:42:0a:e7:{high:02x}:{low:02x}"),
    };
    for subnet in &network.spec.subnets {
        match address(subnet) {
            (IpAddr::V4(v4), prefix) => endpoint.ipv4 = Some((v4, prefix)),
            (IpAddr::V6(v6), prefix) => endpoint.ipv6 = Some((v6, prefix)),
        }
    }
    endpoint
}

pub(super) fn ipv6_subnet() -> Subnet {
    let at = u16::try_from(SUBNETS.fetch_add(1, Ordering::Relaxed)).unwrap();
    let cidr = Cidr::new(Ipv6Addr::new(0xfd31, 0x7e57, 0, at, 0, 0, 0, 0).into(), 64).unwrap();
    Subnet::new(cidr, cidr.nth(1), Timestamp::now())
}

/// Runs something in the sandbox's network namespace.
pub(super) fn inside<T: Send>(sandbox: &Attached, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        scope
            .spawn(|| {
                rustix::thread::move_into_link_name_space(
                    sandbox.netns.as_fd(),
                    Some(rustix::thread::LinkNameSpaceType::Network),
                )
                .unwrap();
                work()
            })
            .join()
            .unwrap()
    })
}

/// Starts a server inside that says its name to everyone.
pub(super) fn echo(sandbox: &Attached, port: u16) {
    let listener = inside(sandbox, || {
        TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).unwrap()
    });
    let name = sandbox.instance.meta.name.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            // A client that left early is no concern of the server.
            drop(stream.and_then(|mut stream| stream.write_all(name.as_bytes())));
        }
    });
}

/// What a server says to a program of the node.
pub(super) fn say(place: (IpAddr, u16)) -> io::Result<String> {
    hear(place, PATIENCE)
}

fn hear(place: (IpAddr, u16), patience: Duration) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from(place), patience)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

/// What a server says to a program inside.
pub(super) fn reach(sandbox: &Attached, address: IpAddr, port: u16) -> io::Result<String> {
    inside(sandbox, || say((address, port)))
}

/// Whether a program inside is kept from a server.
pub(super) fn is_cut_off(sandbox: &Attached, address: IpAddr, port: u16) -> bool {
    inside(sandbox, || hear((address, port), SILENCE)).is_err()
}

/// IPv4 addresses of a name, asked from inside.
pub(super) fn ask(sandbox: &Attached, name: &str, tcp: bool) -> Vec<IpAddr> {
    let mut request = Message::query();
    request.metadata.recursion_desired = true;
    request.add_query(Query::query(
        Name::from_ascii(format!("{name}.")).unwrap(),
        RecordType::A,
    ));
    let bytes = request.to_vec().unwrap();
    let place = ("127.0.0.11", 53);
    let answer = inside(sandbox, || {
        let mut buffer = vec![0; 4096];
        if tcp {
            let mut stream = TcpStream::connect(place).unwrap();
            stream
                .write_all(&u16::try_from(bytes.len()).unwrap().to_be_bytes())
                .unwrap();
            stream.write_all(&bytes).unwrap();
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            buffer.truncate(u16::from_be_bytes(length).into());
            stream.read_exact(&mut buffer).unwrap();
        } else {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket.connect(place).unwrap();
            socket.send(&bytes).unwrap();
            let length = socket.recv(&mut buffer).unwrap();
            buffer.truncate(length);
        }
        buffer
    });
    let answer = Message::from_vec(&answer).unwrap();
    assert_eq!(answer.metadata.id, request.metadata.id);
    answer
        .answers
        .iter()
        .filter_map(|record| match record.data {
            RData::A(address) => Some(address.0.into()),
            _ => None,
        })
        .collect()
}

/// Interfaces and tables of the node that bear a prefix.
pub(super) fn node_state(prefix: &str) -> Vec<String> {
    let read = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let text = read("ip", &["-brief", "link"]) + &read("nft", &["list", "tables"]);
    text.lines()
        .filter(|line| line.split([' ', '@']).any(|word| word.starts_with(prefix)))
        .map(str::to_owned)
        .collect()
}
