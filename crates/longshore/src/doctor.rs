//! `longshore doctor`: whether this machine can run containers, and how to mend what it lacks.
//!
//! Each check looks at the machine as the daemon would and changes nothing.

use std::path::Path;
use std::process::{Command, ExitCode};

use runtime::kernel::{self, Version};
use rustix::fs::CWD;
use rustix::mount::{FsOpenFlags, fsopen};
use rustix::thread::{CapabilitySet, capabilities};

/// What a check found.
enum Finding {
    /// All is well; the text says what there is.
    Good(String),
    /// Containers run, but something that users may ask for is missing.
    Lacking {
        /// What is missing.
        what: String,
        /// How to mend it.
        remedy: String,
    },
    /// Containers do not run.
    Broken {
        /// What is missing.
        what: String,
        /// How to mend it.
        remedy: String,
    },
}

fn good(what: impl Into<String>) -> Finding {
    Finding::Good(what.into())
}

fn lacking(what: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding::Lacking {
        what: what.into(),
        remedy: remedy.into(),
    }
}

fn broken(what: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding::Broken {
        what: what.into(),
        remedy: remedy.into(),
    }
}

/// What is looked at, and how.
type Check = (&'static str, fn() -> Finding);

/// Every check.
const CHECKS: &[Check] = &[
    ("user", user),
    ("kernel", kernel),
    ("capabilities", privileges),
    ("cgroups", cgroups),
    ("overlay", overlay),
    ("user namespaces", user_namespaces),
    ("seccomp", seccomp),
    ("nftables", nftables),
    ("forwarding", forwarding),
    ("git", git),
    ("ps", process_list),
    ("processes", most_processes),
];

/// Prints what every check finds. Fails when containers cannot run.
#[expect(clippy::print_stdout, reason = "a person reads this")]
pub(crate) fn run() -> ExitCode {
    let mut is_fit = true;
    for (name, check) in CHECKS {
        match check() {
            Finding::Good(what) => println!("ok       {name}: {what}"),
            Finding::Lacking { what, remedy } => {
                println!("missing  {name}: {what}\n         {remedy}");
            }
            Finding::Broken { what, remedy } => {
                is_fit = false;
                println!("BROKEN   {name}: {what}\n         {remedy}");
            }
        }
    }
    if is_fit {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn user() -> Finding {
    if rustix::process::geteuid().is_root() {
        return good("root");
    }
    broken("the daemon must be root", "run it with sudo")
}

/// The oldest kernel with every system call of the start path: `mount_setattr` came with it.
const NEEDED: Version = Version(5, 12);
/// The oldest kernel that `tests/machine` boots: that of Debian 12.
const TESTED: Version = Version(6, 1);

fn kernel() -> Finding {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy().into_owned();
    let version = kernel::version();
    if version >= TESTED {
        return good(release);
    }
    let remedy = format!("install {}.{} or newer", TESTED.0, TESTED.1);
    if version >= NEEDED {
        return lacking(
            format!("Longshore is not tested on a kernel as old as {release}"),
            remedy,
        );
    }
    broken(
        format!("{release} is older than {}.{}", NEEDED.0, NEEDED.1),
        remedy,
    )
}

fn privileges() -> Finding {
    let Ok(sets) = capabilities(None) else {
        return broken("they cannot be read", "run on Linux with /proc mounted");
    };
    let needed = CapabilitySet::SYS_ADMIN
        | CapabilitySet::NET_ADMIN
        | CapabilitySet::SETUID
        | CapabilitySet::MKNOD;
    let missing = needed - sets.effective;
    if !missing.is_empty() {
        return broken(
            format!("the daemon lacks {missing:?}"),
            "run it as the machine's own root, outside a container",
        );
    }
    if !sets.effective.contains(CapabilitySet::SYS_RESOURCE) {
        return lacking(
            "root lacks CAP_SYS_RESOURCE: privileged containers go without it, and limits cannot be raised",
            "nothing to do unless containers need more open files than the daemon has",
        );
    }
    good("all that is needed")
}

fn cgroups() -> Finding {
    let Ok(mounts) = std::fs::read_to_string("/proc/self/mountinfo") else {
        return broken("/proc is not mounted", "mount -t proc proc /proc");
    };
    let mounted = |kind: &str| -> Vec<String> {
        mounts
            .lines()
            .filter_map(|line| line.split_once(" - "))
            .filter(|(_, right)| right.starts_with(&format!("{kind} ")))
            .map(|(_, right)| right.rsplit(' ').next().unwrap_or_default().to_owned())
            .collect()
    };
    let v1 = mounted("cgroup");
    let controllers = match (v1.is_empty(), mounted("cgroup2").is_empty()) {
        (true, true) => {
            return broken(
                "no hierarchy is mounted",
                "mount -t cgroup2 cgroup2 /sys/fs/cgroup",
            );
        }
        (true, false) => {
            std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default()
        }
        (false, _) => v1.join(" "),
    };
    let missing: Vec<&str> = ["cpu", "memory", "pids"]
        .into_iter()
        .filter(|name| !controllers.contains(name))
        .collect();
    if missing.is_empty() {
        return good(if v1.is_empty() {
            "version 2"
        } else {
            "version 1"
        });
    }
    lacking(
        format!(
            "no controller for {}: their limits have no effect",
            missing.join(", ")
        ),
        "boot with cgroup_enable=memory, or mount the missing controllers",
    )
}

fn overlay() -> Finding {
    match fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC) {
        Ok(_) => good("there"),
        Err(errno) => broken(
            format!("the file system cannot be opened: {errno}"),
            "modprobe overlay",
        ),
    }
}

fn user_namespaces() -> Finding {
    if !Path::new("/proc/self/ns/user").exists() {
        return lacking(
            "the kernel has none: tenants cannot have user ids of their own",
            "use a kernel with CONFIG_USER_NS",
        );
    }
    match std::fs::read_to_string("/proc/sys/user/max_user_namespaces") {
        Ok(most) if most.trim() == "0" => lacking(
            "they are switched off",
            "sysctl user.max_user_namespaces=15000",
        ),
        _ => good("there"),
    }
}

fn seccomp() -> Finding {
    if Path::new("/proc/sys/kernel/seccomp/actions_avail").exists() {
        return good("there");
    }
    broken(
        "the kernel has no system call filter",
        "use a kernel with CONFIG_SECCOMP_FILTER",
    )
}

fn nftables() -> Finding {
    match Command::new("nft").args(["list", "tables"]).output() {
        Ok(output) if output.status.success() => good("there"),
        Ok(output) => broken(
            format!(
                "nft fails: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            ),
            "modprobe nf_tables, or use a kernel with CONFIG_NF_TABLES",
        ),
        Err(error) => broken(
            format!("nft cannot be executed: {error}"),
            "apt-get install nftables",
        ),
    }
}

fn forwarding() -> Finding {
    // Another program's rules may drop what we let through: dockerd sets this policy.
    let rules = Command::new("nft")
        .args(["list", "chain", "ip", "filter", "FORWARD"])
        .output();
    let drops =
        rules.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("policy drop"));
    if drops {
        return lacking(
            "another program (dockerd does) drops forwarded packets that it does not know",
            "nft insert rule ip filter FORWARD accept, or iptables -P FORWARD ACCEPT",
        );
    }
    match rustix::fs::openat(
        CWD,
        "/proc/sys/net/ipv4/ip_forward",
        rustix::fs::OFlags::WRONLY,
        rustix::fs::Mode::empty(),
    ) {
        Ok(_) => good("can be switched on"),
        Err(errno) => broken(
            format!("net.ipv4.ip_forward cannot be set: {errno}"),
            "make /proc/sys writable",
        ),
    }
}

fn git() -> Finding {
    match Command::new("git").arg("--version").output() {
        Ok(told) if told.status.success() => good(String::from_utf8_lossy(&told.stdout).trim()),
        _ => lacking(
            "the git program: nothing is built from repositories, nor added from one",
            "apt-get install git",
        ),
    }
}

fn process_list() -> Finding {
    match Command::new("ps").arg("--version").output() {
        Ok(output) if output.status.success() => {
            good(String::from_utf8_lossy(&output.stdout).trim())
        }
        _ => lacking(
            "`ps` is not there: processes of containers cannot be listed",
            "apt-get install procps",
        ),
    }
}

fn most_processes() -> Finding {
    let most = std::fs::read_to_string("/proc/sys/kernel/pid_max").unwrap_or_default();
    match most.trim().parse::<u32>() {
        Ok(most) if most < 65_536 => lacking(
            format!("the kernel numbers at most {most}, on all containers together"),
            "sysctl kernel.pid_max=4194304",
        ),
        Ok(most) => good(format!("up to {most}")),
        Err(_) => lacking("kernel.pid_max cannot be read", "mount -t proc proc /proc"),
    }
}
