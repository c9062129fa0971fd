//! The environment that a process starts with.

/// Where programs are looked up unless the image says otherwise.
const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The environment of a container's first process: what every container has, with `wanted` over it.
///
/// An entry of `wanted` without `=` takes the variable of that name away.
pub(crate) fn of_container(
    hostname: &str,
    domainname: &str,
    terminal: bool,
    wanted: &[String],
) -> Vec<String> {
    let mut environment = vec![DEFAULT_PATH.to_owned()];
    environment.push(match domainname {
        "" => format!("HOSTNAME={hostname}"),
        domainname => format!("HOSTNAME={hostname}.{domainname}"),
    });
    if terminal {
        environment.push("TERM=xterm".to_owned());
    }
    overridden(environment, wanted)
}

/// `base` with each of `changes` in the place of the variable of its name, or at the end.
pub(crate) fn overridden(mut base: Vec<String>, changes: &[String]) -> Vec<String> {
    for change in changes {
        let (name, has_value) = match change.split_once('=') {
            Some((name, _)) => (name, true),
            None => (change.as_str(), false),
        };
        let place = base.iter().position(|entry| name_of(entry) == name);
        match (place, has_value) {
            (Some(place), true) => base[place].clone_from(change),
            (Some(place), false) => {
                base.remove(place);
            }
            (None, true) => base.push(change.clone()),
            (None, false) => {}
        }
    }
    base
}

fn name_of(entry: &str) -> &str {
    entry.split_once('=').map_or(entry, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_entries_win_in_place_and_bare_names_unset() {
        let wanted = ["PATH=/bin", "A=1", "A=2", "TERM"].map(str::to_owned);
        assert_eq!(
            of_container("web", "", true, &wanted),
            ["PATH=/bin", "HOSTNAME=web", "A=2"]
        );
    }
}
