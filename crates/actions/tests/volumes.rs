//! Volumes with a size, and the quotas they go through.

use std::collections::BTreeMap;

use actions::identity::project;
use actions::quota::{self, Service};
use actions::volume::sized::{self, NewSized};
use actions::volume_attachment::{self, NewAttachment};
use actions::{Caller, ErrorKind, volume};
use model::quota::Resource;
use model::volume::VolumePhase;
use model::{Id, ProjectId};

use crate::house::{House, kind, member, someone};

async fn new_volume(house: &House, caller: &Caller) -> Id {
    let new = NewSized {
        size_gib: Some(1),
        ..NewSized::default()
    };
    let made = sized::create(&house.cloud, caller, new).await.unwrap();
    let id = made.volume.meta.id;
    loop {
        let view = volume::show(&house.cloud, caller, id).unwrap();
        match view.phase() {
            VolumePhase::Creating => tokio::task::yield_now().await,
            phase => {
                assert_eq!(phase, VolumePhase::Available);
                return id;
            }
        }
    }
}

#[tokio::test]
async fn of_two_who_attach_a_volume_at_once_one_gets_it() {
    let house = House::new().await;
    let cloud = &house.cloud;
    let caller = member(ProjectId(Id::random()));
    let volume = new_volume(&house, &caller).await;
    let first = house.create(&caller, "first").await.unwrap();
    let second = house.create(&caller, "second").await.unwrap();
    let new = || NewAttachment {
        volume,
        device: None,
        tag: None,
        delete_with_instance: false,
        root: false,
    };
    let (one, other) = tokio::join!(
        volume_attachment::attach(cloud, &caller, first, new()),
        volume_attachment::attach(cloud, &caller, second, new()),
    );
    let refused = [one.is_err(), other.is_err()];
    assert_eq!(refused.iter().filter(|is| **is).count(), 1, "{refused:?}");
    let refusal = one.err().or(other.err()).unwrap();
    assert_eq!(refusal.kind, ErrorKind::Invalid);
    let view = volume::show(cloud, &caller, volume).unwrap();
    assert_eq!((view.uses.len(), view.phase()), (1, VolumePhase::InUse));
}

#[tokio::test]
async fn a_deleted_project_leaves_no_quota() {
    let house = House::new().await;
    let cloud = &house.cloud;
    let admin = someone(ProjectId::ADMIN, &["admin"]);
    actions::identity::first_start::ensure(cloud, &[], "password")
        .await
        .unwrap();
    let new = project::NewProject {
        changes: project::Changes {
            name: Some("gone".to_owned()),
            ..project::Changes::default()
        },
        is_domain: false,
        domain: None,
        parent: None,
        id: None,
    };
    let made = project::create(cloud, &admin, new).await.unwrap();
    let owner = ProjectId(made.meta.id);
    let limits = BTreeMap::from([(Resource::Volumes, 1)]);
    quota::set(cloud, &admin, Service::Volume, owner, &limits, true)
        .await
        .unwrap();
    new_volume(&house, &member(owner)).await;
    let more = NewSized {
        size_gib: Some(1),
        ..NewSized::default()
    };
    let refused = sized::create(cloud, &member(owner), more).await;
    assert_eq!(kind(refused), ErrorKind::QuotaExceeded);
    assert!(quota::has_own(cloud, Service::Volume, owner));
    project::delete(cloud, &admin, made.meta.id).await.unwrap();
    assert!(!quota::has_own(cloud, Service::Volume, owner));
}
