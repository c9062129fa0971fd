//! Whom a process runs as: the words of a request, and the databases of a container, one after the other
//! with empty lines between. A number is never somebody else.

#![no_main]

use runtime::user::Databases;

libfuzzer_sys::fuzz_target!(|input: &str| {
    let mut parts = input.splitn(3, "\n\n");
    let mut part = || parts.next().unwrap_or_default();
    let (wanted, passwd, group) = (part(), part(), part());
    let Ok(identity) = Databases::parse(passwd, group).named(wanted) else {
        return;
    };
    let ids = [identity.uid, identity.gid];
    assert!(ids.iter().all(|id| i32::try_from(*id).is_ok()));
    if let (Ok(number), "") = (wanted.parse::<u32>(), passwd) {
        assert_eq!(identity.uid, number);
    }
});
