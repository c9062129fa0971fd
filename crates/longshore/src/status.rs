//! `longshore status`: whether the daemon and the keeper of a data directory run, and what they keep.

use std::path::Path;

use anyhow::{Result, bail};
use engine::directory::Directories;
use runtime::keeper::Client;

use crate::lock::Lock;

/// Prints what runs. Fails when nothing does.
pub(crate) fn run(data_dir: &Path) -> Result<()> {
    let daemon = Lock::holder(data_dir)?;
    let kept = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(kept(data_dir));
    #[expect(clippy::print_stdout, reason = "a person reads this")]
    {
        println!("data directory  {}", data_dir.display());
        match daemon {
            Some(pid) => println!("daemon          process {}", pid.as_raw_nonzero()),
            None => println!("daemon          not running"),
        }
        match &kept {
            Some(Kept {
                processes,
                is_of_this_build,
            }) => {
                println!("keeper          {processes} processes in containers");
                if !is_of_this_build {
                    println!(
                        "                of another build; `longshore up` upgrades it in place"
                    );
                }
            }
            None => println!("keeper          not running"),
        }
    }
    if daemon.is_none() && kept.is_none() {
        bail!(
            "nothing runs in {}; start it with `longshore up`",
            data_dir.display()
        );
    }
    Ok(())
}

/// What the keeper keeps.
struct Kept {
    /// How many.
    processes: usize,
    /// It runs the same program file as this command.
    is_of_this_build: bool,
}

/// What the keeper keeps; `None` without a keeper.
async fn kept(data_dir: &Path) -> Option<Kept> {
    let socket = Directories::below(data_dir)
        .keeper()
        .join(runtime::keeper::SOCKET);
    let client = Client::connect(&socket).await.ok()?;
    let processes = client.list().await.ok()?;
    let alive = processes.iter().filter(|process| process.exited.is_none());
    Some(Kept {
        processes: alive.count(),
        is_of_this_build: client.hello().build == runtime::keeper::build(),
    })
}
