//! Which user and groups a process runs as: numbers, or names in the container's own
//! `/etc/passwd` and `/etc/group`.
//!
//! Parsed strictly (passwd(5), group(5)) and inside the container's root; no name service of the
//! host or of the container is asked. The messages are `runc`'s, which Docker's users know.

use std::io::Read as _;
use std::path::Path;

use rooted::Root;
use rustix::fs::{Mode, OFlags};

/// Why a user could not be determined.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// No such user.
    #[error("unable to find user {0}: no matching entries in passwd file")]
    NoUser(String),
    /// No such group.
    #[error("unable to find group {0}: no matching entries in group file")]
    NoGroup(String),
    /// Not a number that the kernel takes.
    #[error("uids and gids must be in range 0-2147483647")]
    Range,
}

/// Who a process runs as.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// User.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Home directory by `/etc/passwd`; `/` for a user that is not in it.
    pub home: String,
}

/// Files larger than this are no user databases.
const MOST_BYTES: u64 = 16 << 20;

/// The user and group databases of a container.
#[derive(Debug, Default)]
pub struct Databases {
    passwd: Vec<Account>,
    group: Vec<Group>,
}

#[derive(Debug, PartialEq, Eq)]
struct Account {
    name: String,
    uid: u32,
    gid: u32,
    home: String,
}

#[derive(Debug, PartialEq, Eq)]
struct Group {
    name: String,
    gid: u32,
    members: Vec<String>,
}

impl Databases {
    /// Reads them; missing ones are empty.
    #[must_use]
    pub fn read(root: &Root) -> Self {
        Self::parse(&read(root, "etc/passwd"), &read(root, "etc/group"))
    }

    /// What such files say; a line that is none of theirs is passed over.
    #[must_use]
    pub fn parse(passwd: &str, group: &str) -> Self {
        Self {
            passwd: passwd.lines().filter_map(account).collect(),
            group: group.lines().filter_map(group_entry).collect(),
        }
    }

    /// The identity for `user[:group]`, each a name or a number; empty is root.
    ///
    /// Without a group it is the user's own, with the groups that list the user as a member.
    ///
    /// # Errors
    /// When there is no such user or group.
    pub fn named(&self, wanted: &str) -> Result<Identity, UserError> {
        let (user, group) = wanted.split_once(':').unwrap_or((wanted, ""));
        let mut identity = Identity {
            home: "/".to_owned(),
            ..Identity::default()
        };
        let number = number(user)?;
        let account = self.passwd.iter().find(|account| {
            if user.is_empty() {
                account.uid == 0
            } else {
                account.name == user || Some(account.uid) == number
            }
        });
        match (account, number) {
            (Some(account), _) => {
                identity.uid = account.uid;
                identity.gid = account.gid;
                identity.home.clone_from(&account.home);
                if group.is_empty() {
                    let groups = self
                        .group
                        .iter()
                        .filter(|group| group.members.contains(&account.name));
                    identity.groups = groups.map(|group| group.gid).collect();
                }
            }
            (None, Some(number)) => identity.uid = number,
            (None, None) if user.is_empty() => {}
            (None, None) => return Err(UserError::NoUser(user.to_owned())),
        }
        if !group.is_empty() {
            identity.gid = self.gid(group)?;
        }
        Ok(identity)
    }

    /// The group of this name or number.
    pub(crate) fn gid(&self, group: &str) -> Result<u32, UserError> {
        let number = number(group)?;
        let known = self
            .group
            .iter()
            .find(|entry| entry.name == group || Some(entry.gid) == number);
        match (known, number) {
            (Some(entry), _) => Ok(entry.gid),
            (None, Some(number)) => Ok(number),
            (None, None) => Err(UserError::NoGroup(group.to_owned())),
        }
    }

    /// The home directory of a user.
    pub(crate) fn home(&self, uid: u32) -> &str {
        self.passwd
            .iter()
            .find(|account| account.uid == uid)
            .map_or("/", |account| account.home.as_str())
    }
}

fn read(root: &Root, path: &str) -> String {
    // A FIFO in the file's place must not hold the start up.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let Ok(fd) = root.open_at(Path::new(path), flags, Mode::empty()) else {
        return String::new();
    };
    let file = std::fs::File::from(fd);
    if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
        return String::new();
    }
    let mut content = Vec::new();
    match file.take(MOST_BYTES).read_to_end(&mut content) {
        Ok(_) => String::from_utf8_lossy(&content).into_owned(),
        Err(_) => String::new(),
    }
}

/// `name:password:uid:gid:comment:home:shell`; a line that is not so is no account.
fn account(line: &str) -> Option<Account> {
    let mut fields = line.trim().split(':');
    let name = fields.next().filter(|name| !name.is_empty())?.to_owned();
    let uid = id(fields.nth(1)?)?;
    let gid = id(fields.next()?)?;
    let home = fields
        .nth(1)
        .filter(|home| !home.is_empty())
        .unwrap_or("/")
        .to_owned();
    Some(Account {
        name,
        uid,
        gid,
        home,
    })
}

/// `name:password:gid:member,member`.
fn group_entry(line: &str) -> Option<Group> {
    let mut fields = line.trim().split(':');
    let name = fields.next().filter(|name| !name.is_empty())?.to_owned();
    let gid = id(fields.nth(1)?)?;
    let members = fields
        .next()
        .unwrap_or_default()
        .split(',')
        .filter(|member| !member.is_empty());
    Some(Group {
        name,
        gid,
        members: members.map(str::to_owned).collect(),
    })
}

/// A number of digits only; `None` for what is a name.
fn number(text: &str) -> Result<Option<u32>, UserError> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    id(text).map(Some).ok_or(UserError::Range)
}

fn id(text: &str) -> Option<u32> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse()
        .ok()
        .filter(|id| *id <= i32::MAX.cast_unsigned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn databases() -> Databases {
        Databases::parse(
            "root:x:0:0:root:/root:/bin/sh\nwww:x:33:33::/srv:/bin/false\n2000:x:44:44::/odd:/bin/sh\nbroken:x:+5:1::/:\n",
            "root:x:0:\nwww:x:33:\nweb:x:50:www,other\n",
        )
    }

    #[test]
    fn a_name_brings_its_group_home_and_memberships() {
        let identity = databases().named("www").unwrap();
        assert_eq!(
            identity,
            Identity {
                uid: 33,
                gid: 33,
                groups: vec![50],
                home: "/srv".to_owned()
            }
        );
    }

    #[test]
    fn a_group_of_ones_own_choice_leaves_memberships_out() {
        let identity = databases().named("33:web").unwrap();
        assert_eq!(
            (identity.uid, identity.gid, identity.groups),
            (33, 50, vec![])
        );
    }

    #[test]
    fn an_unknown_number_is_itself_with_group_0() {
        let identity = databases().named("1234").unwrap();
        assert_eq!(
            identity,
            Identity {
                uid: 1234,
                gid: 0,
                groups: vec![],
                home: "/".to_owned()
            }
        );
    }

    #[test]
    fn a_name_of_digits_wins_over_the_number() {
        assert_eq!(databases().named("2000").unwrap().uid, 44);
    }

    #[test]
    fn what_is_not_found_or_out_of_range_is_refused() {
        let message = |user: &str| databases().named(user).unwrap_err().to_string();
        assert_eq!(
            message("nosuch"),
            "unable to find user nosuch: no matching entries in passwd file"
        );
        assert_eq!(
            message("www:nosuch"),
            "unable to find group nosuch: no matching entries in group file"
        );
        assert_eq!(message("-1"), "uids and gids must be in range 0-2147483647");
        assert_eq!(
            message("4294967296"),
            "uids and gids must be in range 0-2147483647"
        );
        assert_eq!(
            message("broken"),
            "unable to find user broken: no matching entries in passwd file"
        );
    }
}
