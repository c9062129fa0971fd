//! A machine that went down and came up again: who runs then, and what is still known.

use tests::machine::Machine;

/// Says that it runs, and ends when it is asked to.
const SERVE: &str = "trap 'exit 0' TERM; echo up; while :; do sleep 0.1; done";

fn run(machine: &mut Machine, name: &str, restart: &str, script: &str) {
    let args = [
        "run",
        "-d",
        "--name",
        name,
        "--restart",
        restart,
        "busybox",
        "sh",
        "-c",
        script,
    ];
    machine.docker(&args).ok();
}

fn status(machine: &mut Machine, name: &str) -> String {
    machine.inspect(name, "{{.State.Status}} {{.State.ExitCode}}")
}

#[test]
fn restart_policies_are_honoured_after_a_reboot() {
    let mut machine = Machine::new().unwrap();
    for policy in ["no", "unless-stopped", "always"] {
        run(&mut machine, policy, policy, SERVE);
    }
    for policy in ["unless-stopped", "always"] {
        let stopped = format!("{policy}-stopped");
        run(&mut machine, &stopped, policy, SERVE);
        machine.docker(&["stop", &stopped]).ok();
    }
    run(&mut machine, "succeeded", "on-failure", "exit 0");
    run(&mut machine, "failed", "no", "exit 7");
    machine.docker(&["wait", "succeeded", "failed"]).ok();
    machine.docker(&["network", "create", "shore"]).ok();
    let serve = "mkdir -p /data; echo it works >> /data/index.html; exec httpd -f -h /data";
    machine
        .docker(&[
            "run",
            "-d",
            "--name",
            "web",
            "--restart",
            "always",
            "--network",
            "shore",
            "-p",
            "127.0.0.1:8080:80",
            "-v",
            "data:/data",
            "busybox",
            "sh",
            "-c",
            serve,
        ])
        .ok();
    machine.wait_until("wget -q -O - http://127.0.0.1:8080/");

    for time in 1..=2 {
        if time == 1 {
            machine.reboot().unwrap();
        } else {
            machine.power_cut().unwrap();
        }
        for name in ["unless-stopped", "always", "always-stopped", "web"] {
            machine.wait_until(&format!("docker exec {name} true"));
        }
        assert_eq!(status(&mut machine, "succeeded"), "exited 0");
        assert_eq!(status(&mut machine, "failed"), "exited 7");
        assert_eq!(status(&mut machine, "unless-stopped-stopped"), "exited 0");
        assert!(status(&mut machine, "no").starts_with("exited "));
        // Neighbours find it by name, the machine by its port, and its volume is the same.
        let get = "wget -q -O - http://web/ | grep -c works";
        let get = [
            "run",
            "--rm",
            "--network",
            "shore",
            "busybox",
            "sh",
            "-c",
            get,
        ];
        assert_eq!(machine.docker(&get).ok(), (time + 1).to_string());
        machine.wait_until("wget -q -O - http://127.0.0.1:8080/");
    }
}

#[test]
fn what_a_user_was_told_survives_a_power_cut() {
    let mut machine = Machine::new().unwrap();
    for time in 0..2 {
        let name = |what: &str| format!("{what}{time}");
        machine.docker(&["volume", "create", &name("volume")]).ok();
        machine
            .docker(&["network", "create", &name("network")])
            .ok();
        let create = [
            "create",
            "--name",
            &name("created"),
            "busybox",
            "echo",
            "here",
        ];
        machine.docker(&create).ok();
        run(&mut machine, &name("stopped"), "unless-stopped", SERVE);
        run(&mut machine, &name("removed"), "always", SERVE);
        machine.docker(&["stop", &name("stopped")]).ok();
        machine.docker(&["rm", "-f", &name("removed")]).ok();
        run(&mut machine, &name("running"), "always", SERVE);
        machine.power_cut().unwrap();

        for kind in ["volume", "network"] {
            machine.docker(&[kind, "inspect", &name(kind)]).ok();
        }
        assert_eq!(
            machine.docker(&["start", "-a", &name("created")]).ok(),
            "here"
        );
        assert_eq!(status(&mut machine, &name("stopped")), "exited 0");
        machine.docker(&["inspect", &name("removed")]).fails(1);
        machine.wait_until(&format!("docker exec {} true", name("running")));
        machine.docker(&["rm", "-f", &name("stopped")]).ok();
    }
}
