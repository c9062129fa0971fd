//! A whole cloud in one process over the simulated engine, and those who use it.

use std::sync::Arc;

use actions::instance::NewInstance;
use actions::registered_image::{self, NewImage};
use actions::{ActionError, Caller, Cloud, ErrorKind, Scope, image, instance, network};
use agent::{Agent, Announcement};
use controllers::{Controllers, Strategy};
use engine::simulated::Simulated;
use local::ThisNode;
use model::container::ContainerSpec;
use model::instance::InstanceSpec;
use model::node::NodeSpec;
use model::registered_image::{DiskFormat, RegisteredImageSpec, Visibility, Wrapping};
use model::{Id, ProjectId};

/// The image that every house has.
pub(crate) const IMAGE: &str = "demo:1";

/// A cloud without a host.
pub(crate) struct House {
    pub(crate) cloud: Cloud,
    /// An image that is there for every project.
    pub(crate) public_image: Id,
    _directory: tempfile::TempDir,
    _agent: Agent,
    _controllers: Controllers,
}

impl House {
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let images = ::image::Store::open(&directory.path().join("images")).unwrap();
        let store = store::Store::memory();
        let engine = Arc::new(Simulated::new());
        let nodes = Arc::new(ThisNode::new(engine.clone()));
        let cloud = Cloud::new(store.clone(), images, nodes);
        let controllers = controllers::spawn_all(&store, Strategy::default());
        let announcement = Announcement {
            id: Id::random(),
            name: "node".to_owned(),
            spec: NodeSpec {
                cpu_milli: 2_000,
                memory_bytes: 4 << 30,
                pid_max: 32_768,
                boot_id: "boot".to_owned(),
                ..NodeSpec::default()
            },
        };
        let agent = Agent::start(store, engine, announcement).await.unwrap();
        network::ensure_predefined(&cloud, network::PredefinedRanges::default())
            .await
            .unwrap();
        // An archive of nothing: programs of the simulated engine need no files.
        let new = image::NewImport {
            reference: Some(IMAGE.to_owned()),
            ..image::NewImport::default()
        };
        let archive = Box::new(std::io::Cursor::new(vec![0; 1024]));
        let operator = Caller::operator(String::new());
        image::import(&cloud, &operator, archive, new)
            .await
            .unwrap();
        let public_image = publish(&cloud, &admin()).await;
        Self {
            cloud,
            public_image,
            _directory: directory,
            _agent: agent,
            _controllers: controllers,
        }
    }

    /// Makes an instance that sleeps, on no network.
    pub(crate) async fn create(&self, caller: &Caller, name: &str) -> Result<Id, ActionError> {
        self.create_with(caller, name, |_| {}).await
    }

    /// As [`House::create`], of a changed specification.
    pub(crate) async fn create_with(
        &self,
        caller: &Caller,
        name: &str,
        change: impl FnOnce(&mut InstanceSpec),
    ) -> Result<Id, ActionError> {
        let operator = Caller::operator(String::new());
        let image = registered_image::runnable(&self.cloud, &operator, self.public_image)?;
        let container = ContainerSpec {
            image: IMAGE.to_owned(),
            image_id: image.content,
            ..ContainerSpec::default()
        };
        let mut spec = InstanceSpec {
            network: model::instance::NetworkMode::None,
            containers: vec![container],
            ..InstanceSpec::default()
        };
        change(&mut spec);
        let new = NewInstance {
            name: Some(name.to_owned()),
            spec,
            command: Some(vec!["sleep".to_owned(), "1000".to_owned()]),
            ..NewInstance::default()
        };
        let created = instance::create(&self.cloud, caller, new).await?;
        Ok(created.id)
    }
}

/// Registers an image of a root file system with one directory for everybody.
async fn publish(cloud: &Cloud, admin: &Caller) -> Id {
    let spec = RegisteredImageSpec {
        visibility: Visibility::Public,
        wrapping: Some(Wrapping::Bare),
        format: Some(DiskFormat::Raw),
        properties: [("os_command_line".to_owned(), "sleep 1000".to_owned())].into(),
        ..RegisteredImageSpec::default()
    };
    let new = NewImage {
        spec,
        ..NewImage::default()
    };
    let image = registered_image::create(cloud, admin, new).await.unwrap();
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Directory);
    header.set_size(0);
    header.set_mode(0o755);
    archive
        .append_data(&mut header, "etc", std::io::empty())
        .unwrap();
    let archive = Box::new(std::io::Cursor::new(archive.into_inner().unwrap()));
    let id = image.meta.id;
    registered_image::upload(cloud, admin, id, archive)
        .await
        .unwrap();
    id
}

/// Somebody with roles in a project.
pub(crate) fn someone(project: ProjectId, roles: &[&str]) -> Caller {
    Caller {
        user: Id::random(),
        scope: Scope::Project {
            project,
            domain: ProjectId::DEFAULT_DOMAIN.0,
        },
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        ..Caller::operator(String::new())
    }
}

/// Whoever runs the cloud.
pub(crate) fn admin() -> Caller {
    someone(ProjectId::ADMIN, &["admin", "member", "reader"])
}

pub(crate) fn member(project: ProjectId) -> Caller {
    someone(project, &["member", "reader"])
}

/// What kind of failure it was.
pub(crate) fn kind<T>(answer: Result<T, ActionError>) -> ErrorKind {
    match answer {
        Ok(_) => panic!("it was not refused"),
        Err(error) => error.kind,
    }
}
