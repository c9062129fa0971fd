//! The processes of an instance as `docker top` shows them: a table that the node's `ps` prints,
//! and of it the rows of the instance's own processes.

use std::collections::HashSet;
use std::io;

use model::Id;
use model::instance::Failure;
use model::stream::Processes;
use runtime::cgroup::Cgroup;
use tokio::process::Command;

use crate::failure::internal;
use crate::host::Inner;
use crate::process::not_running;

/// Why there is no table.
#[derive(Debug, thiserror::Error)]
enum ProcessesError {
    /// It would give a column the name by which rows are chosen.
    #[error("specifying \"{name}={title}\" is not allowed")]
    Title { name: String, title: String },
    #[error("ps")]
    Run(#[source] io::Error),
    #[error("ps: {message}")]
    Failed { message: String },
    #[error("Couldn't find PID field in ps output")]
    NoPid,
    #[error("Unexpected pid '{field}' in ps output")]
    Pid { field: String },
}

impl Inner {
    /// The processes of a running instance, by the node's `ps`.
    pub(crate) async fn processes(&self, id: Id, ps_args: &[String]) -> Result<Processes, Failure> {
        let live = self.runs.running(id).ok_or_else(|| not_running(id))?;
        let cgroup = Cgroup::at(&live.note.cgroups_path);
        let pids = cgroup
            .and_then(|cgroup| cgroup.processes())
            .map_err(|error| internal(&error))?;
        list(&pids, ps_args).await.map_err(|error| internal(&error))
    }
}

/// Runs `ps` with these arguments (`-ef` when there are none) and keeps the rows of `pids`.
async fn list(pids: &[u32], ps_args: &[String]) -> Result<Processes, ProcessesError> {
    let default = ["-ef".to_owned()];
    let args = if ps_args.is_empty() {
        &default
    } else {
        ps_args
    };
    refuse_other_pid_titles(args)?;
    let chosen = format!(
        "-q{}",
        pids.iter()
            .map(u32::to_string)
            .collect::<Vec<_>>()
            .join(",")
    );
    let output = match run(args, Some(&chosen)).await {
        // Some options do not go with a choice of processes.
        Err(ProcessesError::Failed { .. }) => run(args, None).await?,
        answer => answer?,
    };
    table(&output, &pids.iter().copied().collect())
}

async fn run(args: &[String], chosen: Option<&String>) -> Result<String, ProcessesError> {
    let mut command = Command::new("ps");
    command
        .args(args)
        .args(chosen)
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true);
    let output = command.output().await.map_err(ProcessesError::Run)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let first = complaint.lines().next().filter(|line| !line.is_empty());
    Err(ProcessesError::Failed {
        message: first.map_or_else(|| output.status.to_string(), str::to_owned),
    })
}

/// Another column titled `PID` would make the rows of other processes pass for the instance's.
fn refuse_other_pid_titles(args: &[String]) -> Result<(), ProcessesError> {
    let joined = args.join(" ");
    let words: Vec<&str> = joined.split_whitespace().collect();
    for (index, word) in words.iter().enumerate() {
        for (at, _) in word.match_indices('=') {
            let (name, title) = (&word[..at], &word[at + 1..]);
            let title = if title.is_empty() {
                words.get(index + 1).copied().unwrap_or("")
            } else {
                title
            };
            let column = name.rsplit(',').next().unwrap_or(name);
            if title.starts_with("PID") && column != "pid" {
                return Err(ProcessesError::Title {
                    name: name.to_owned(),
                    title: title.to_owned(),
                });
            }
        }
    }
    Ok(())
}

fn table(output: &str, pids: &HashSet<u32>) -> Result<Processes, ProcessesError> {
    let mut lines = output.lines();
    let titles: Vec<String> = lines
        .next()
        .unwrap_or_default()
        .split_ascii_whitespace()
        .map(str::to_owned)
        .collect();
    let pid_column = titles
        .iter()
        .position(|title| title == "PID")
        .ok_or(ProcessesError::NoPid)?;
    let mut rows = Vec::new();
    let mut threads_belong = false;
    for line in lines {
        let Some(row) = row(line, titles.len()) else {
            continue;
        };
        let field = &row[pid_column];
        // With threads shown, the lines after a process are its threads and have no number.
        if field != "-" {
            let pid: u32 = field.parse().map_err(|_| ProcessesError::Pid {
                field: field.clone(),
            })?;
            threads_belong = pids.contains(&pid);
        }
        if threads_belong {
            rows.push(row);
        }
    }
    Ok(Processes { titles, rows })
}

/// The fields of a line; the last column has all that is left, words joined by one space.
fn row(line: &str, columns: usize) -> Option<Vec<String>> {
    let mut words = line.split_ascii_whitespace();
    let mut fields: Vec<String> = words
        .by_ref()
        .take(columns - 1)
        .map(str::to_owned)
        .collect();
    fields.push(words.collect::<Vec<_>>().join(" "));
    (fields.len() == columns).then_some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn rows_of_other_processes_are_left_out_and_commands_kept_whole() {
        let output = "UID  PID PPID CMD\nroot   1    0 init\nroot  42    1 sleep  1000 x\n\nroot  43   42 sh\n";
        let table = table(output, &HashSet::from([42, 43])).unwrap();
        assert_eq!(table.titles, ["UID", "PID", "PPID", "CMD"]);
        assert_eq!(
            table.rows,
            [
                ["root", "42", "1", "sleep 1000 x"],
                ["root", "43", "42", "sh"]
            ]
        );
    }

    #[test]
    fn threads_go_with_their_process() {
        let output = "PID LWP CMD\n1 - init\n- 1 -\n42 - mine\n- 42 -\n- 43 -\n";
        let table = table(output, &HashSet::from([42])).unwrap();
        assert_eq!(
            table
                .rows
                .iter()
                .map(|row| row[1].as_str())
                .collect::<Vec<_>>(),
            ["-", "42", "43"]
        );
    }

    #[test]
    fn a_table_without_process_ids_is_refused() {
        assert_eq!(
            table("USER CMD\nroot x\n", &HashSet::new())
                .unwrap_err()
                .to_string(),
            "Couldn't find PID field in ps output"
        );
        assert_eq!(
            table("", &HashSet::new()).unwrap_err().to_string(),
            "Couldn't find PID field in ps output"
        );
        assert_eq!(
            table("PID\nx\n", &HashSet::new()).unwrap_err().to_string(),
            "Unexpected pid 'x' in ps output"
        );
    }

    #[test]
    fn no_other_column_may_be_called_pid() {
        for text in ["-o pid=PID", "-ef", "-o pid,cmd", "-eo user=NAME,pid=PID"] {
            refuse_other_pid_titles(&args(text)).unwrap();
        }
        for text in [
            "-e -o ppid=PID",
            "-eo ppid= PIDS",
            "-eo pid,uid=PID",
            "-oppid=PID",
        ] {
            assert!(refuse_other_pid_titles(&args(text)).is_err(), "{text}");
        }
        let error = refuse_other_pid_titles(&args("-e -o ppid=PID")).unwrap_err();
        assert_eq!(error.to_string(), "specifying \"ppid=PID\" is not allowed");
    }

    #[tokio::test]
    async fn this_process_is_listed() {
        let own = std::process::id();
        for ps_args in [vec![], args("-eo pid,comm"), args("aux"), args("-ef f")] {
            let processes = list(&[own], &ps_args).await.unwrap();
            let column = processes
                .titles
                .iter()
                .position(|title| title == "PID")
                .unwrap();
            assert!(
                processes
                    .rows
                    .iter()
                    .any(|row| row[column] == own.to_string()),
                "{ps_args:?} {processes:?}"
            );
        }
        let error = list(&[own], &args("--nonsense")).await.unwrap_err();
        assert!(error.to_string().starts_with("ps: error: "), "{error}");
        assert!(list(&[own], &args("-o cmd")).await.is_err());
    }
}
