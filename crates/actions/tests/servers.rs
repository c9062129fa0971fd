//! Servers that are asked for at once, in groups, by strangers, and in the middle of being made.

use std::collections::BTreeMap;

use actions::flavor::{self, NewFlavor};
use actions::server::{self, Migration, NewNetworks, NewPlace, NewServer, State};
use actions::server_group::{self, NewServerGroup};
use actions::{Caller, ErrorKind, network, port, registered_image};
use model::flavor::FlavorSpec;
use model::server_group::GroupPolicy;
use model::{Id, ProjectId};

use crate::house::{House, admin, kind, member};

/// Servers that a project may have where nobody says otherwise.
const QUOTA: usize = 10;

/// A cloud with a flavor, and a member of a project of it.
async fn furnished(project: ProjectId) -> (House, Caller) {
    let house = House::new().await;
    let new = NewFlavor {
        id: Some("42".to_owned()),
        name: "small".to_owned(),
        spec: FlavorSpec {
            vcpus: 1,
            ram_mib: 128,
            disk_gib: 1,
            ephemeral_gib: 0,
            swap_mib: 0,
            rxtx_factor: 1.0,
            is_public: true,
            access: [].into(),
            extra_specs: BTreeMap::new(),
            description: None,
            disabled: false,
        },
    };
    flavor::create(&house.cloud, &admin(), new).await.unwrap();
    (house, member(project))
}

/// The network of the node, which only the operator's project has.
fn bridge(house: &House, caller: &Caller) -> Id {
    let all = network::list_all(&house.cloud, caller);
    let bridge = all.iter().find(|network| network.meta.name == "bridge");
    bridge.unwrap().meta.id
}

fn wanted(house: &House) -> NewServer {
    NewServer {
        name: "web".to_owned(),
        count: 1,
        flavor: "42".to_owned(),
        image: Some(house.public_image),
        key_name: None,
        metadata: BTreeMap::new(),
        tags: [].into(),
        description: None,
        hostname: None,
        user_data: None,
        config_drive: false,
        zone: None,
        hints: BTreeMap::new(),
        group: None,
        networks: NewNetworks::None,
        firewalls: Vec::new(),
        volumes: Vec::new(),
        auto_disk: false,
        access: model::server::AccessAddresses::default(),
    }
}

/// Makes a server and waits until it was made, one way or the other.
async fn boot(house: &House, caller: &Caller, new: NewServer) -> Result<(Id, State), ErrorKind> {
    let made = server::create(&house.cloud, caller, new).await;
    let id = made.map_err(|error| error.kind)?[0].meta.id;
    loop {
        let view = server::get(&house.cloud, caller, id).unwrap();
        if view.task().is_none() {
            return Ok((id, view.state()));
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_quota_holds_against_many_at_once() {
    let (house, caller) = furnished(ProjectId(Id::random())).await;
    let asked = (0..50).map(|_| server::create(&house.cloud, &caller, wanted(&house)));
    let answers = futures_util::future::join_all(asked).await;
    let (made, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!(made.len(), QUOTA);
    for refusal in refused {
        assert_eq!(kind(refusal), ErrorKind::QuotaExceeded);
    }
    assert_eq!(
        server::list(&house.cloud, &caller, false).unwrap().len(),
        QUOTA
    );
}

#[tokio::test]
async fn a_port_is_one_servers() {
    let (house, caller) = furnished(ProjectId::ADMIN).await;
    let cloud = &house.cloud;
    let net = bridge(&house, &caller);
    let plug = port::create(cloud, &caller, port::NewPort::on(net))
        .await
        .unwrap();
    let plug = plug.port.meta.id;
    let new = NewServer {
        networks: NewNetworks::These(vec![NewPlace {
            port: Some(plug),
            ..NewPlace::default()
        }]),
        ..wanted(&house)
    };
    let (one, two) = tokio::join!(
        boot(&house, &caller, new.clone()),
        boot(&house, &caller, new)
    );
    let active = [one, two].into_iter().flatten();
    let active: Vec<String> = active
        .filter(|(_, state)| *state == State::Active)
        .map(|(id, _)| id.to_string())
        .collect();
    let holder = port::get(cloud, &caller, plug).unwrap();
    assert_eq!(active.join(" "), holder.port.spec.device_id);
}

#[tokio::test]
async fn the_second_of_a_group_that_keeps_apart_finds_no_node() {
    let (house, caller) = furnished(ProjectId(Id::random())).await;
    for (policy, second) in [
        (GroupPolicy::AntiAffinity, State::Broken),
        (GroupPolicy::Affinity, State::Active),
        (GroupPolicy::SoftAntiAffinity, State::Active),
    ] {
        let new = NewServerGroup {
            name: policy.as_str().to_owned(),
            policy,
            most_per_node: None,
        };
        let group = server_group::create(&house.cloud, &caller, new)
            .await
            .unwrap();
        let new = NewServer {
            group: Some(group.meta.id),
            ..wanted(&house)
        };
        let (_, state) = boot(&house, &caller, new.clone()).await.unwrap();
        assert_eq!(state, State::Active, "{policy:?}");
        let (id, state) = boot(&house, &caller, new).await.unwrap();
        assert_eq!(state, second, "{policy:?}");
        let fault = server::get(&house.cloud, &caller, id)
            .unwrap()
            .server
            .fault
            .clone();
        let says_why =
            fault.is_some_and(|fault| fault.message.starts_with("No valid host was found."));
        assert_eq!(says_why, second == State::Broken, "{policy:?}");
    }
}

#[tokio::test]
async fn a_server_goes_nowhere_and_only_an_admin_is_told_why() {
    let (house, caller) = furnished(ProjectId(Id::random())).await;
    let (cloud, operator) = (&house.cloud, admin());
    let (id, state) = boot(&house, &caller, wanted(&house)).await.unwrap();
    assert_eq!(state, State::Active);
    for how in [Migration::Cold, Migration::Live, Migration::Evacuation] {
        let asked = |caller| server::migrate(cloud, caller, id, how);
        assert_eq!(kind(asked(&caller)), ErrorKind::Forbidden, "{how:?}");
        assert_eq!(kind(asked(&operator)), ErrorKind::Invalid, "{how:?}");
    }
    let injected = server::inject_network(cloud, &caller, id);
    assert_eq!(kind(injected), ErrorKind::Forbidden);
    server::inject_network(cloud, &operator, id).unwrap();
    server::pause(cloud, &caller, id).await.unwrap();
    while server::get(cloud, &caller, id).unwrap().task().is_some() {
        tokio::task::yield_now().await;
    }
    let frozen = server::migrate(cloud, &operator, id, Migration::Cold);
    assert_eq!(kind(frozen), ErrorKind::Conflict);
    let frozen = server::migrate(cloud, &operator, id, Migration::Live);
    assert_eq!(kind(frozen), ErrorKind::Invalid);
}

#[tokio::test]
async fn a_server_removed_while_it_is_made_leaves_nothing() {
    let (house, caller) = furnished(ProjectId::ADMIN).await;
    let cloud = &house.cloud;
    let net = bridge(&house, &caller);
    for steps in 0..20 {
        let new = NewServer {
            networks: NewNetworks::These(vec![NewPlace {
                network: Some(net),
                ..NewPlace::default()
            }]),
            ..wanted(&house)
        };
        let made = server::create(cloud, &caller, new).await.unwrap();
        for _ in 0..steps {
            tokio::task::yield_now().await;
        }
        server::remove(cloud, &caller, made[0].meta.id)
            .await
            .unwrap();
    }
    while !server::list(cloud, &caller, false).unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    while !port::list(cloud, &caller).is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_image_that_was_removed_or_is_a_strangers_is_not_run() {
    let (house, caller) = furnished(ProjectId(Id::random())).await;
    let operator = admin();
    let public = registered_image::runnable(&house.cloud, &operator, house.public_image).unwrap();
    registered_image::remove(&house.cloud, &operator, house.public_image)
        .await
        .unwrap();
    let made = house.create_with(&caller, "web", |spec| {
        spec.containers[0].image_id.clone_from(&public.content);
    });
    assert_eq!(kind(made.await), ErrorKind::NotFound);
}
