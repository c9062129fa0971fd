//! Projects do not see each other, and roles say what is done within one.

use std::collections::BTreeMap;

use actions::instance::RemoveOptions;
use actions::volume::NewVolume;
use actions::{ErrorKind, commit, event, exec, image, instance, stream, system, volume};
use model::stream::ExecSpec;
use model::{Id, ProjectId};

use crate::house::{House, IMAGE, kind, member, someone};

#[tokio::test]
async fn another_projects_instance_is_missing() {
    let house = House::new().await;
    let (mine, other) = (ProjectId(Id::random()), ProjectId(Id::random()));
    let (owner, stranger) = (member(mine), member(other));
    let cloud = &house.cloud;
    let id = house.create(&owner, "web").await.unwrap();
    instance::start(cloud, &owner, id).await.unwrap();

    assert!(instance::list(cloud, &stranger).is_empty());
    assert!(instance::by_name(cloud, &stranger, "web").is_none());
    assert!(instance::by_id_prefix(cloud, &stranger, &id.simple()).is_empty());
    let shell = ExecSpec {
        args: vec!["sh".to_owned()],
        ..ExecSpec::default()
    };
    let refusals = [
        kind(instance::get(cloud, &stranger, id)),
        kind(instance::start(cloud, &stranger, id).await),
        kind(instance::kill(cloud, &stranger, id, None).await),
        kind(instance::remove(cloud, &stranger, id, RemoveOptions::default()).await),
        kind(exec::create(cloud, &stranger, id, shell.clone()).await),
        kind(stream::attach(cloud, &stranger, id, true, true).await),
        kind(stream::stats(cloud, &stranger, id).await),
        kind(stream::read_archive(cloud, &stranger, id, "/").await),
        kind(stream::export(cloud, &stranger, id).await),
        kind(commit::commit(cloud, &stranger, id, commit::NewCommit::default()).await),
    ];
    assert_eq!(refusals, [ErrorKind::NotFound; 10]);
    // Nor is an exec there whose name leaked.
    let exec = exec::create(cloud, &owner, id, shell).await.unwrap();
    assert_eq!(
        kind(exec::get(cloud, &stranger, &exec).await),
        ErrorKind::NotFound
    );

    let admin = someone(other, &["admin", "member", "reader"]);
    assert!(instance::list(cloud, &admin).is_empty());
    assert_eq!(instance::list_all(cloud, &admin).unwrap().len(), 1);
    assert!(instance::get(cloud, &admin, id).is_ok());
    let force = RemoveOptions {
        force: true,
        volumes: true,
    };
    instance::remove(cloud, &admin, id, force).await.unwrap();
    assert!(instance::list(cloud, &owner).is_empty());
}

#[tokio::test]
async fn a_reader_reads() {
    let house = House::new().await;
    let mine = ProjectId(Id::random());
    let (owner, reader) = (member(mine), someone(mine, &["reader"]));
    let cloud = &house.cloud;
    let id = house.create(&owner, "web").await.unwrap();
    instance::start(cloud, &owner, id).await.unwrap();

    assert_eq!(instance::list(cloud, &reader).len(), 1);
    assert!(stream::stats(cloud, &reader, id).await.is_ok());
    let shell = ExecSpec {
        args: vec!["sh".to_owned()],
        ..ExecSpec::default()
    };
    let refusals = [
        kind(house.create(&reader, "other").await),
        kind(instance::pause(cloud, &reader, id).await),
        kind(instance::rename(cloud, &reader, id, "mine").await),
        kind(instance::remove(cloud, &reader, id, RemoveOptions::default()).await),
        kind(instance::list_all(cloud, &reader)),
        kind(exec::create(cloud, &reader, id, shell).await),
        kind(stream::read_archive(cloud, &reader, id, "/").await),
        kind(volume::create(cloud, &reader, NewVolume::default()).await),
    ];
    assert_eq!(refusals, [ErrorKind::Forbidden; 8]);

    let nobody = someone(mine, &[]);
    assert!(instance::list(cloud, &nobody).is_empty());
    assert_eq!(
        kind(instance::get(cloud, &nobody, id)),
        ErrorKind::Forbidden
    );
}

#[tokio::test]
async fn volumes_of_one_name_are_each_their_projects() {
    let house = House::new().await;
    let cloud = &house.cloud;
    let (mine, other) = (
        member(ProjectId(Id::random())),
        member(ProjectId(Id::random())),
    );
    let new = || NewVolume {
        name: Some("data".to_owned()),
        labels: BTreeMap::new(),
        options: BTreeMap::new(),
    };
    let made = volume::create(cloud, &mine, new()).await.unwrap();
    assert_eq!(
        kind(volume::get(cloud, &other, "data")),
        ErrorKind::NotFound
    );
    let others = volume::create(cloud, &other, new()).await.unwrap();
    assert_ne!(made.meta.id, others.meta.id);
    volume::remove(cloud, &other, "data", false).await.unwrap();
    assert_eq!(volume::list(cloud, &mine).len(), 1);
}

#[tokio::test]
async fn the_content_store_and_the_node_are_the_operators() {
    let house = House::new().await;
    let cloud = &house.cloud;
    let tenant = member(ProjectId(Id::random()));
    assert!(image::list(cloud, &tenant).is_empty());
    let named = commit::NewCommit {
        reference: Some(IMAGE.to_owned()),
        ..commit::NewCommit::default()
    };
    let id = house.create(&tenant, "web").await.unwrap();
    let refusals = [
        kind(image::get(cloud, &tenant, IMAGE)),
        kind(image::tag(cloud, &tenant, IMAGE, "mine:1").await),
        kind(image::remove(cloud, &tenant, IMAGE, true, true).await),
        kind(image::save(cloud, &tenant, &[IMAGE.to_owned()]).await),
        kind(commit::commit(cloud, &tenant, id, named).await),
        kind(system::info(cloud, &tenant)),
    ];
    assert_eq!(refusals, [ErrorKind::Forbidden; 6]);
}

#[tokio::test]
async fn what_happens_elsewhere_is_not_told() {
    let house = House::new().await;
    let cloud = &house.cloud;
    let (mine, other) = (ProjectId(Id::random()), ProjectId(Id::random()));
    let (_, mut live) = event::subscribe(cloud, &member(mine)).unwrap();
    house.create(&member(other), "theirs").await.unwrap();
    let id = house.create(&member(mine), "mine").await.unwrap();
    let event = live.recv().await.unwrap();
    assert_eq!((event.project, event.id.clone()), (mine, id.to_string()));
    let (past, _) = event::subscribe(cloud, &member(mine)).unwrap();
    assert!(past.iter().all(|event| event.project == mine));
    let nobody = someone(mine, &[]);
    assert_eq!(kind(event::subscribe(cloud, &nobody)), ErrorKind::Forbidden);
}
