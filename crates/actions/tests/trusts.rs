//! What is lent by a trust, to whom, and for how long.

use actions::identity::authenticate::{Proof, Shown, Wanted, Who, authenticate};
use actions::identity::token::{self, Session};
use actions::identity::{
    Named, application_credential, assignment, ec2, project, role, trust, user,
};
use actions::{ActionError, Cloud, ErrorKind};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use model::assignment::{Actor, Grant, Target};
use model::delegation::Delegation;
use model::{Id, ProjectId};
use ring::hmac;

use crate::house::{House, admin, kind};

/// A user with a password.
struct Person {
    id: Id,
    /// A token for nothing.
    token: String,
}

/// Three people, of whom the first is a member of a project.
struct Crew {
    house: House,
    project: Id,
    captain: Person,
    mate: Person,
    boy: Person,
}

impl Crew {
    async fn new() -> Self {
        let house = House::new().await;
        let cloud = &house.cloud;
        actions::identity::first_start::ensure(cloud, &[], "rope")
            .await
            .unwrap();
        let new = project::NewProject {
            changes: project::Changes {
                name: Some("ship".to_owned()),
                ..project::Changes::default()
            },
            id: None,
            is_domain: false,
            domain: Some(ProjectId::DEFAULT_DOMAIN.0),
            parent: None,
        };
        let project = project::create(cloud, &admin(), new).await.unwrap().meta.id;
        let captain = person(cloud, "captain").await;
        let crew = Self {
            mate: person(cloud, "mate").await,
            boy: person(cloud, "boy").await,
            captain,
            project,
            house,
        };
        let grant = crew.membership();
        assignment::grant(crew.cloud(), &admin(), grant)
            .await
            .unwrap();
        crew
    }

    fn cloud(&self) -> &Cloud {
        &self.house.cloud
    }

    /// The captain's, in the project.
    fn membership(&self) -> Grant {
        Grant {
            actor: Actor::User(self.captain.id),
            target: Target::Project(self.project),
            role: role_id(self.cloud(), "member"),
            inherited: false,
        }
    }

    /// What the captain lends the mate.
    fn offer(&self) -> trust::New {
        trust::New {
            trustor: self.captain.id,
            trustee: self.mate.id,
            project: self.project,
            roles: vec![Named::Name("member".to_owned())],
            impersonation: true,
            expires_at: None,
            remaining_uses: None,
            allow_redelegation: false,
            redelegation_count: None,
        }
    }

    async fn act(&self, who: &Person, scope: Wanted) -> Result<(String, Session), ActionError> {
        let shown = vec![Shown::Token(who.token.clone())];
        authenticate(self.cloud(), Proof { shown, scope }).await
    }

    /// The captain in the project.
    async fn at_home(&self) -> Session {
        let wanted = Wanted::Project {
            project: Named::Id(self.project),
            domain: None,
        };
        self.act(&self.captain, wanted).await.unwrap().1
    }

    async fn lend(&self, by: &Session, new: trust::New) -> Result<Id, ActionError> {
        let caller = by.caller(String::new());
        let made = trust::create(self.cloud(), &caller, new).await?;
        Ok(made.meta.id)
    }
}

async fn person(cloud: &Cloud, name: &str) -> Person {
    let changes = user::Changes {
        name: Some(name.to_owned()),
        password: Some(Some("rope".to_owned())),
        ..user::Changes::default()
    };
    let domain = Some(ProjectId::DEFAULT_DOMAIN.0);
    let id = user::create(cloud, &admin(), domain, changes)
        .await
        .unwrap()
        .meta
        .id;
    let who = Who {
        user: Named::Id(id),
        domain: None,
    };
    let proof = Proof {
        shown: vec![Shown::Password {
            user: who,
            password: "rope".to_owned(),
        }],
        scope: Wanted::Unscoped,
    };
    let (token, _) = authenticate(cloud, proof).await.unwrap();
    Person { id, token }
}

fn role_id(cloud: &Cloud, name: &str) -> Id {
    let found = role::list(cloud, &admin(), None, |role| role.meta.name == name).unwrap();
    found[0].meta.id
}

fn names(session: &Session) -> Vec<&str> {
    let roles = session.roles.iter();
    roles.map(|role| role.meta.name.as_str()).collect()
}

#[tokio::test]
async fn one_acts_as_another_with_the_roles_that_were_lent() {
    let crew = Crew::new().await;
    let captain = crew.at_home().await;
    let lookout = trust::New {
        roles: vec![Named::Name("reader".to_owned())],
        ..crew.offer()
    };
    let id = crew.lend(&captain, lookout.clone()).await.unwrap();
    let (sealed, session) = crew.act(&crew.mate, Wanted::Trust(id)).await.unwrap();
    assert_eq!(session.user.meta.id, crew.captain.id);
    assert_eq!(names(&session), ["reader"]);
    let caller = session.caller(String::new());
    assert_eq!(caller.project(), ProjectId(crew.project));
    assert_eq!(
        token::session(crew.cloud(), &sealed).unwrap().token,
        session.token
    );

    // Under their own name, where the trust says so.
    let plain = trust::New {
        impersonation: false,
        ..crew.offer()
    };
    let plain = crew.lend(&captain, plain).await.unwrap();
    let (_, plain) = crew.act(&crew.mate, Wanted::Trust(plain)).await.unwrap();
    assert_eq!(plain.user.meta.id, crew.mate.id);
    assert_eq!(names(&plain), ["member", "reader"]);

    // Nobody else may, and what was lent becomes nothing else.
    let stranger = crew.act(&crew.boy, Wanted::Trust(id)).await;
    assert_eq!(kind(stranger), ErrorKind::Forbidden);
    let proof = Proof {
        shown: vec![Shown::Token(sealed)],
        scope: Wanted::Unscoped,
    };
    let traded = authenticate(crew.cloud(), proof).await;
    assert_eq!(kind(traded), ErrorKind::Forbidden);
    let lasting = application_credential::New {
        name: "lasting".to_owned(),
        description: None,
        secret: None,
        roles: Vec::new(),
        expires_at: None,
        unrestricted: false,
        access_rules: None,
    };
    let lasting =
        application_credential::create(crew.cloud(), &caller, &session, caller.user, lasting).await;
    assert_eq!(kind(lasting), ErrorKind::Forbidden);
    let lent_on = crew.lend(&session, lookout).await;
    assert_eq!(kind(lent_on), ErrorKind::Forbidden);

    // Only what one has oneself can be lent, and only by oneself.
    let more = trust::New {
        roles: vec![Named::Name("admin".to_owned())],
        ..crew.offer()
    };
    assert_eq!(kind(crew.lend(&captain, more).await), ErrorKind::NotFound);
    let others = trust::New {
        trustor: crew.boy.id,
        ..crew.offer()
    };
    assert_eq!(
        kind(crew.lend(&captain, others).await),
        ErrorKind::Forbidden
    );
}

#[tokio::test]
async fn uses_are_counted_however_many_come_at_once() {
    let crew = Crew::new().await;
    let captain = crew.at_home().await;
    let new = trust::New {
        remaining_uses: Some(2),
        ..crew.offer()
    };
    let id = crew.lend(&captain, new).await.unwrap();
    let tries = (0..8).map(|_| crew.act(&crew.mate, Wanted::Trust(id)));
    let answers = futures_util::future::join_all(tries).await;
    let (good, bad): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!(good.len(), 2);
    for refused in bad {
        assert_eq!(kind(refused), ErrorKind::Unauthenticated);
    }
    // What was got stays good.
    for answer in good {
        token::session(crew.cloud(), &answer.unwrap().0).unwrap();
    }
    let caller = captain.caller(String::new());
    let shown = trust::get(crew.cloud(), &caller, id);
    assert_eq!(kind(shown), ErrorKind::NotFound);
}

#[tokio::test]
async fn what_was_lent_ends_with_the_role_the_trust_and_its_people() {
    let crew = Crew::new().await;
    let cloud = crew.cloud();
    let captain = crew.at_home().await;
    let caller = captain.caller(String::new());
    let over = trust::New {
        expires_at: Some(Timestamp::now() - SignedDuration::from_secs(1)),
        ..crew.offer()
    };
    let over = crew.lend(&captain, over).await.unwrap();
    let refused = crew.act(&crew.mate, Wanted::Trust(over)).await;
    assert_eq!(kind(refused), ErrorKind::Unauthenticated);

    let id = crew.lend(&captain, crew.offer()).await.unwrap();
    let (sealed, _) = crew.act(&crew.mate, Wanted::Trust(id)).await.unwrap();
    let membership = crew.membership();
    assignment::revoke(cloud, &admin(), membership)
        .await
        .unwrap();
    assert_eq!(
        kind(token::session(cloud, &sealed)),
        ErrorKind::Unauthenticated
    );
    let refused = crew.act(&crew.mate, Wanted::Trust(id)).await;
    assert_eq!(kind(refused), ErrorKind::Forbidden);
    assignment::grant(cloud, &admin(), membership)
        .await
        .unwrap();
    token::session(cloud, &sealed).unwrap();

    trust::delete(cloud, &caller, id).await.unwrap();
    assert_eq!(
        kind(token::session(cloud, &sealed)),
        ErrorKind::Unauthenticated
    );

    let id = crew.lend(&captain, crew.offer()).await.unwrap();
    let (sealed, _) = crew.act(&crew.mate, Wanted::Trust(id)).await.unwrap();
    user::delete(cloud, &admin(), crew.captain.id)
        .await
        .unwrap();
    assert_eq!(
        kind(token::session(cloud, &sealed)),
        ErrorKind::Unauthenticated
    );
    assert_eq!(kind(trust::get(cloud, &admin(), id)), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_trust_is_lent_on_as_often_as_it_says_and_never_grows() {
    let crew = Crew::new().await;
    let captain = crew.at_home().await;
    let new = trust::New {
        allow_redelegation: true,
        redelegation_count: Some(1),
        ..crew.offer()
    };
    let first = crew.lend(&captain, new.clone()).await.unwrap();
    let (_, mate) = crew.act(&crew.mate, Wanted::Trust(first)).await.unwrap();
    let to_boy = trust::New {
        trustee: crew.boy.id,
        redelegation_count: None,
        ..new
    };
    let counted = trust::New {
        allow_redelegation: false,
        remaining_uses: Some(1),
        ..to_boy.clone()
    };
    assert_eq!(kind(crew.lend(&mate, counted).await), ErrorKind::Forbidden);
    let second = crew.lend(&mate, to_boy.clone()).await.unwrap();
    let (sealed, boy) = crew.act(&crew.boy, Wanted::Trust(second)).await.unwrap();
    assert_eq!(boy.user.meta.id, crew.captain.id);
    assert_eq!(boy.trust.as_ref().unwrap().spec.redelegation_count, 0);
    let third = trust::New {
        allow_redelegation: false,
        ..to_boy
    };
    assert_eq!(kind(crew.lend(&boy, third).await), ErrorKind::Forbidden);
    // It hangs on the first.
    let caller = captain.caller(String::new());
    trust::delete(crew.cloud(), &caller, first).await.unwrap();
    let gone = token::session(crew.cloud(), &sealed);
    assert_eq!(kind(gone), ErrorKind::Unauthenticated);
}

#[tokio::test]
async fn a_key_pair_is_worth_no_more_than_what_made_it() {
    let crew = Crew::new().await;
    let cloud = crew.cloud();
    let captain = crew.at_home().await;
    let lookout = trust::New {
        roles: vec![Named::Name("reader".to_owned())],
        ..crew.offer()
    };
    let id = crew.lend(&captain, lookout).await.unwrap();
    let (_, session) = crew.act(&crew.mate, Wanted::Trust(id)).await.unwrap();
    let caller = session.caller(String::new());
    let elsewhere = ec2::create(cloud, &caller, &session, caller.user, ProjectId::ADMIN.0).await;
    assert_eq!(kind(elsewhere), ErrorKind::Forbidden);
    let pair = ec2::create(cloud, &caller, &session, caller.user, crew.project)
        .await
        .unwrap();
    assert_eq!(pair.delegation, Some(Delegation::Trust(id)));
    let signed = signed(&pair);
    let (_, got) = ec2::authenticate(cloud, &admin(), &signed).await.unwrap();
    assert_eq!(got.user.meta.id, crew.captain.id);
    assert_eq!(names(&got), ["reader"]);
    // Only services ask whose a signature is.
    let own = ec2::authenticate(cloud, &captain.caller(String::new()), &signed).await;
    assert_eq!(kind(own), ErrorKind::Forbidden);
    trust::delete(cloud, &captain.caller(String::new()), id)
        .await
        .unwrap();
    let gone = ec2::authenticate(cloud, &admin(), &signed).await;
    assert_eq!(kind(gone), ErrorKind::Unauthenticated);
}

/// A request signed by version 2.
fn signed(pair: &ec2::KeyPair) -> ec2::Signed {
    let key = hmac::Key::new(hmac::HMAC_SHA256, pair.secret.as_bytes());
    let text = "GET\nlocalhost\n/\nSignatureMethod=HmacSHA256&SignatureVersion=2";
    ec2::Signed {
        access: pair.access.clone(),
        signature: STANDARD.encode(hmac::sign(&key, text.as_bytes())),
        params: [("SignatureVersion".to_owned(), "2".to_owned())].into(),
        headers: [].into(),
        verb: "GET".to_owned(),
        host: "localhost".to_owned(),
        path: "/".to_owned(),
        body_hash: String::new(),
    }
}
