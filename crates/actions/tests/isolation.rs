//! Whose ids the containers of a tenant have, and what they cannot ask for.

use actions::volume::NewVolume;
use actions::{Caller, ErrorKind, exec, instance, volume};
use model::security::UserNamespace;
use model::stream::ExecSpec;
use model::{Id, ProjectId};

use crate::house::{House, kind, member};

fn users(house: &House, caller: &Caller, id: Id) -> UserNamespace {
    let view = instance::get(&house.cloud, caller, id).unwrap();
    let security = &view.instance.spec.containers[0].security;
    assert_eq!(
        security.no_new_privileges,
        security.user_namespace != UserNamespace::Host
    );
    security.user_namespace.clone()
}

#[tokio::test]
async fn each_project_has_a_range_of_its_own_and_keeps_it() {
    let house = House::new().await;
    let callers: Vec<Caller> = (0..8).map(|_| member(ProjectId(Id::random()))).collect();
    // All at once, twice each.
    let made = callers.iter().flat_map(|caller| {
        ["one", "two"].map(|name| async { house.create(caller, name).await.unwrap() })
    });
    let ids = futures_util::future::join_all(made).await;
    let ranges: Vec<UserNamespace> = ids
        .iter()
        .enumerate()
        .map(|(at, id)| users(&house, &callers[at / 2], *id))
        .collect();
    let mut firsts: Vec<u32> = ranges
        .chunks(2)
        .map(|pair| match pair {
            [
                UserNamespace::Range {
                    first,
                    count: 65_536,
                },
                other,
            ] if pair[0] == *other => *first,
            other => panic!("{other:?}"),
        })
        .collect();
    firsts.sort_unstable();
    assert!(firsts.windows(2).all(|pair| pair[0] + 65_536 <= pair[1]));

    let operator = Caller::operator(String::new());
    let id = house.create(&operator, "mine").await.unwrap();
    assert_eq!(users(&house, &operator, id), UserNamespace::Host);
}

#[tokio::test]
async fn a_tenant_is_refused_what_is_the_nodes() {
    let house = House::new().await;
    let cloud = &house.cloud;
    let tenant = member(ProjectId(Id::random()));
    let privileged = house.create_with(&tenant, "box", |spec| {
        spec.containers[0].security.privileged = true;
    });
    assert_eq!(kind(privileged.await), ErrorKind::Forbidden);
    let id = house.create(&tenant, "box").await.unwrap();
    let update = instance::update(cloud, &tenant, id, |spec| {
        spec.containers[0].security.oom_score_adj = Some(-1000);
        Ok(())
    });
    assert_eq!(kind(update.await), ErrorKind::Forbidden);
    instance::start(cloud, &tenant, id).await.unwrap();
    let shell = ExecSpec {
        args: vec!["sh".to_owned()],
        privileged: true,
        ..ExecSpec::default()
    };
    assert_eq!(
        kind(exec::create(cloud, &tenant, id, shell).await),
        ErrorKind::Forbidden
    );
    let disk = NewVolume {
        options: [("device".to_owned(), "/dev/vda".to_owned())].into(),
        ..NewVolume::default()
    };
    assert_eq!(
        kind(volume::create(cloud, &tenant, disk).await),
        ErrorKind::Forbidden
    );
}
