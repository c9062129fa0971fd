//! What [`Simulated`] answers to every method of [`Engine`].

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use model::Id;
use model::container::{LogConfig, TerminalSize};
use model::firewall::Firewall;
use model::instance::{Endpoint, Failure, FailureKind, Health, Instance, Run, StopRequest};
use model::network::Network;
use model::snapshot::Snapshot;
use model::stream::{
    Change, ExecSpec, ExecStatus, ExtractOptions, HostPaths, LogLine, LogOptions, PathStat,
    Processes, Stats,
};
use model::volume::Volume;
use tokio::sync::{broadcast, mpsc, watch};

use super::Tree;
use super::log;
use super::process::{container, env};
use super::program::{self, SIGKILL};
use super::{Body, CurrentRun, Operation, Simulated, State, World, not_running};
use crate::failure::{failure, refused};
use crate::{
    Archive, Engine, Found, FoundState, Guard, Happening, Input, NetworkPart, Output, RouterPlan,
    Started, signal,
};

#[async_trait]
impl Engine for Simulated {
    async fn create(&self, instance: &Instance) -> Result<(), Failure> {
        self.world.scripted(Operation::Create)?;
        let now = self.world.now();
        self.world
            .state()
            .instances
            .entry(instance.meta.id)
            .or_insert_with(|| Body::new(instance.clone(), now));
        Ok(())
    }

    async fn start(
        &self,
        instance: &Instance,
        run: Run,
        endpoints: &[Endpoint],
        networks: &[Network],
    ) -> Result<Started, Failure> {
        self.world.scripted(Operation::Start)?;
        let id = instance.meta.id;
        let mut state = self.world.state();
        let body = state.body(id)?;
        match &body.run {
            Some(current) if current.run == run => return Ok(current.started.clone()),
            Some(current) if current.exit.is_none() => {
                return Err(refused(
                    FailureKind::Conflict,
                    format!("container {} is already running", id.simple()),
                ));
            }
            _ => {}
        }
        if body.instance.spec.renewals != instance.spec.renewals {
            *body = Body::new(instance.clone(), self.world.now());
        }
        let container = container(instance)?.clone();
        program::look_up(&container.args, &body.files)?;
        if let Some(missing) = endpoints.iter().find(|endpoint| {
            networks
                .iter()
                .all(|network| network.meta.id != endpoint.network)
        }) {
            return Err(refused(
                FailureKind::NotFound,
                format!("network {} not found", missing.network.simple()),
            ));
        }
        state.networks.extend(
            networks
                .iter()
                .map(|network| (network.meta.id, network.clone())),
        );
        let ports = state.free_ports(instance, networks)?;
        let started = Started {
            pid: state.new_pid(),
            at: self.world.now(),
            endpoints: endpoints.to_vec(),
            ports,
        };
        state.forget_execs(id);
        let body = state.body(id)?;
        body.instance = instance.clone();
        let console = Arc::clone(&body.console);
        let (control, mut process) = self.world.process(id, &console, &container.args);
        process.env = env(&container.env);
        process.hostname.clone_from(&instance.spec.hostname);
        process.working_dir.clone_from(&container.working_dir);
        process.is_first = !container.init;
        process.is_logged = true;
        if let Some(dir) = Some(&container.working_dir).filter(|dir| !dir.is_empty()) {
            body.files.make_dir(dir, started.at);
        }
        body.run = Some(CurrentRun {
            run,
            started: started.clone(),
            control,
            exit: None,
        });
        let world = Arc::clone(&self.world);
        let _task = tokio::spawn(async move {
            let code = process.run().await;
            world.finish(id, Some(run), code, false);
        });
        Ok(started)
    }

    async fn stop(&self, instance: &Instance, how: &StopRequest) -> Result<(), Failure> {
        self.world.scripted(Operation::Stop)?;
        let id = instance.meta.id;
        let container = container(instance)?;
        let signal = how
            .signal
            .as_deref()
            .or(container.stop_signal.as_deref())
            .unwrap_or("SIGTERM");
        let signal = signal_number(signal)?;
        let seconds = how
            .timeout_secs
            .or(container.stop_timeout_secs)
            .unwrap_or(10);
        let (control, mut ended) = {
            let mut state = self.world.state();
            let Ok((current, _)) = state.running(id) else {
                return Ok(());
            };
            (
                current.control.clone(),
                state.body(id)?.log_grew.subscribe(),
            )
        };
        control.paused.send_replace(false);
        control.send(signal);
        self.world.tell(Happening::Signal(id, signal));
        let patience = u64::try_from(seconds).map_or(Duration::MAX, Duration::from_secs);
        if tokio::time::timeout(patience, self.world.until_stopped(id, &mut ended))
            .await
            .is_err()
        {
            control.send(SIGKILL);
            self.world.tell(Happening::Signal(id, SIGKILL));
            self.world.until_stopped(id, &mut ended).await;
        }
        Ok(())
    }

    async fn set_paused(&self, id: Id, paused: bool) -> Result<(), Failure> {
        self.world.scripted(Operation::SetPaused)?;
        let mut state = self.world.state();
        let (current, _) = state.running(id)?;
        current.control.paused.send_replace(paused);
        Ok(())
    }

    async fn update(&self, instance: &Instance) -> Result<(), Failure> {
        self.world.scripted(Operation::Update)?;
        let mut state = self.world.state();
        let body = state.body(instance.meta.id)?;
        body.instance = instance.clone();
        Ok(())
    }

    async fn connect(
        &self,
        instance: &Instance,
        endpoint: &Endpoint,
        network: &Network,
    ) -> Result<(), Failure> {
        self.world.scripted(Operation::Connect)?;
        let mut state = self.world.state();
        state.networks.insert(network.meta.id, network.clone());
        let current = state.current(instance.meta.id)?;
        current
            .started
            .endpoints
            .retain(|known| known.id != endpoint.id);
        current.started.endpoints.push(endpoint.clone());
        Ok(())
    }

    async fn disconnect(&self, id: Id, endpoint: Id) -> Result<(), Failure> {
        self.world.scripted(Operation::Disconnect)?;
        self.world
            .state()
            .current(id)?
            .started
            .endpoints
            .retain(|known| known.id != endpoint);
        Ok(())
    }

    async fn remove(&self, id: Id) -> Result<(), Failure> {
        self.world.scripted(Operation::Remove)?;
        let mut state = self.world.state();
        if state
            .instances
            .get(&id)
            .is_some_and(|body| body.running().is_some())
        {
            return Err(refused(
                FailureKind::Conflict,
                format!("container {} is running", id.simple()),
            ));
        }
        state.instances.remove(&id);
        state.forget_execs(id);
        Ok(())
    }

    async fn ensure_network(&self, network: &Network) -> Result<(), Failure> {
        self.world.scripted(Operation::EnsureNetwork)?;
        self.world
            .state()
            .networks
            .insert(network.meta.id, network.clone());
        Ok(())
    }

    async fn remove_network(&self, id: Id) -> Result<(), Failure> {
        self.world.scripted(Operation::RemoveNetwork)?;
        self.world.state().networks.remove(&id);
        Ok(())
    }

    async fn set_firewall(&self, firewall: &Firewall) -> Result<(), Failure> {
        let mut state = self.world.state();
        state.firewalls.insert(firewall.meta.id, firewall.clone());
        Ok(())
    }

    async fn set_guard(&self, guard: &Guard) -> Result<(), Failure> {
        self.world.state().guards.insert(guard.port, guard.clone());
        Ok(())
    }

    async fn set_router(&self, plan: &RouterPlan) -> Result<(), Failure> {
        self.world.state().routers.insert(plan.id, plan.clone());
        Ok(())
    }

    async fn forget(&self, what: NetworkPart, id: Id) -> Result<(), Failure> {
        let mut state = self.world.state();
        match what {
            NetworkPart::Firewall => drop(state.firewalls.remove(&id)),
            NetworkPart::Port => drop(state.guards.remove(&id)),
            NetworkPart::Router => drop(state.routers.remove(&id)),
        }
        Ok(())
    }

    async fn network_parts(&self) -> Vec<(NetworkPart, Id)> {
        let state = self.world.state();
        let firewalls = state.firewalls.keys();
        let (ports, routers) = (state.guards.keys(), state.routers.keys());
        firewalls
            .map(|id| (NetworkPart::Firewall, *id))
            .chain(ports.map(|id| (NetworkPart::Port, *id)))
            .chain(routers.map(|id| (NetworkPart::Router, *id)))
            .collect()
    }

    async fn ensure_volume(&self, volume: &Volume) -> Result<PathBuf, Failure> {
        self.world.scripted(Operation::EnsureVolume)?;
        let path = Path::new("/volumes")
            .join(volume.meta.project.to_string())
            .join(&volume.meta.name)
            .join("_data");
        self.world
            .state()
            .volumes
            .insert(volume.meta.id, path.clone());
        Ok(path)
    }

    async fn remove_volume(&self, volume: &Volume) -> Result<(), Failure> {
        self.world.scripted(Operation::RemoveVolume)?;
        self.world.state().volumes.remove(&volume.meta.id);
        Ok(())
    }

    async fn ensure_snapshot(&self, snapshot: &Snapshot) -> Result<(), Failure> {
        self.world.scripted(Operation::EnsureSnapshot)?;
        self.world.state().snapshots.insert(snapshot.meta.id);
        Ok(())
    }

    async fn remove_snapshot(&self, id: Id) -> Result<(), Failure> {
        self.world.scripted(Operation::RemoveSnapshot)?;
        self.world.state().snapshots.remove(&id);
        Ok(())
    }

    async fn found(&self) -> Result<Vec<Found>, Failure> {
        self.world.scripted(Operation::Found)?;
        let state = self.world.state();
        let found = state.instances.iter().filter_map(|(id, body)| {
            let current = body.run.as_ref()?;
            let Started {
                pid,
                at,
                endpoints,
                ports,
                ..
            } = current.started.clone();
            let (state, endpoints, ports) = match &current.exit {
                Some(exit) => (FoundState::Exited(exit.clone()), Vec::new(), Vec::new()),
                None => {
                    let paused = *current.control.paused.borrow();
                    (
                        FoundState::Running {
                            pid,
                            started_at: at,
                            paused,
                        },
                        endpoints,
                        ports,
                    )
                }
            };
            Some(Found {
                id: *id,
                run: current.run,
                state,
                endpoints,
                ports,
            })
        });
        Ok(found.collect())
    }

    async fn resume_health(&self, id: Id, known: &Health) {
        self.set_health(id, known.clone());
    }

    fn happenings(&self) -> broadcast::Receiver<Happening> {
        self.world.happenings.subscribe()
    }

    async fn signal(&self, id: Id, signal: &str) -> Result<(), Failure> {
        self.world.scripted(Operation::Signal)?;
        let signal = signal_number(signal)?;
        self.world.state().running(id)?.0.control.send(signal);
        self.world.tell(Happening::Signal(id, signal));
        Ok(())
    }

    async fn attach(
        &self,
        id: Id,
        stdin: bool,
        output: bool,
    ) -> Result<(Output, Option<Input>), Failure> {
        self.world.scripted(Operation::Attach)?;
        Ok(self.world.state().body(id)?.console.attach(stdin, output))
    }

    async fn resize(&self, id: Id, _size: TerminalSize) -> Result<(), Failure> {
        self.world.scripted(Operation::Resize)?;
        self.world.state().running(id).map(drop)
    }

    async fn exec_create(&self, id: Id, spec: &ExecSpec) -> Result<String, Failure> {
        self.world.scripted(Operation::ExecCreate)?;
        self.world.exec_create(id, spec)
    }

    async fn exec_start(
        &self,
        exec: &str,
        detach: bool,
        _size: Option<TerminalSize>,
    ) -> Result<(Output, Option<Input>), Failure> {
        self.world.scripted(Operation::ExecStart)?;
        self.world.exec_start(exec, detach)
    }

    async fn exec_resize(&self, exec: &str, _size: TerminalSize) -> Result<(), Failure> {
        self.world.scripted(Operation::ExecResize)?;
        self.world.exec_resize(exec)
    }

    async fn exec_status(&self, exec: &str) -> Result<(Id, ExecStatus), Failure> {
        self.world.scripted(Operation::ExecStatus)?;
        self.world.exec_status(exec)
    }

    async fn execs(&self, id: Id) -> Vec<String> {
        self.world.execs(id)
    }

    async fn logs(
        &self,
        id: Id,
        options: &LogOptions,
    ) -> Result<mpsc::Receiver<Result<Vec<LogLine>, Failure>>, Failure> {
        self.world.scripted(Operation::Logs)?;
        let grew = {
            let mut state = self.world.state();
            let body = state.body(id)?;
            if !body.keeps_log() {
                let message = "configured logging driver does not support reading";
                return Err(refused(FailureKind::Invalid, message));
            }
            body.log_grew.subscribe()
        };
        Ok(log::read(&self.world, id, options.clone(), grew))
    }

    async fn stats(&self, id: Id) -> Result<Stats, Failure> {
        self.world.scripted(Operation::Stats)?;
        self.world.stats(id)
    }

    async fn processes(&self, id: Id, _ps_args: &[String]) -> Result<Processes, Failure> {
        self.world.scripted(Operation::Processes)?;
        self.world.processes(id)
    }

    async fn stat_path(&self, id: Id, path: &str) -> Result<PathStat, Failure> {
        self.world.scripted(Operation::StatPath)?;
        self.world.stat_path(id, path)
    }

    async fn read_archive(&self, id: Id, path: &str) -> Result<(PathStat, Archive), Failure> {
        self.world.scripted(Operation::ReadArchive)?;
        self.world.read_archive(id, path)
    }

    async fn write_archive(
        &self,
        id: Id,
        path: &str,
        archive: Archive,
        options: ExtractOptions,
    ) -> Result<(), Failure> {
        self.world.scripted(Operation::WriteArchive)?;
        self.world.write_archive(id, path, archive, options).await
    }

    async fn changes(&self, id: Id) -> Result<Vec<Change>, Failure> {
        self.world.scripted(Operation::Changes)?;
        let mut state = self.world.state();
        let body = state.body(id)?;
        Ok(body.files.changes_since(&body.image))
    }

    async fn export(&self, id: Id) -> Result<Archive, Failure> {
        self.world.scripted(Operation::Export)?;
        Ok(Box::new(std::io::Cursor::new(
            self.world.state().body(id)?.files.export(),
        )))
    }

    async fn layer(&self, id: Id, _hold: bool) -> Result<Archive, Failure> {
        self.world.scripted(Operation::Layer)?;
        let mut state = self.world.state();
        let body = state.body(id)?;
        Ok(Box::new(std::io::Cursor::new(
            body.files.layer_over(&body.image),
        )))
    }

    async fn export_volume(&self, _volume: &Volume) -> Result<Archive, Failure> {
        self.world.scripted(Operation::ExportVolume)?;
        // Volumes of the twin hold nothing.
        Ok(Box::new(std::io::Cursor::new(Tree::default().export())))
    }

    async fn volume_size(&self, _volume: &Volume) -> Result<u64, Failure> {
        self.world.scripted(Operation::VolumeSize)?;
        // Volumes of the twin hold nothing.
        Ok(0)
    }

    async fn writable_size(&self, id: Id) -> Result<u64, Failure> {
        self.world.scripted(Operation::WritableSize)?;
        let mut state = self.world.state();
        let body = state.body(id)?;
        Ok(body.files.bytes_since(&body.image))
    }

    fn paths(&self, id: Id) -> HostPaths {
        let dir = Path::new("/simulated").join(id.simple());
        let keeps_log = self
            .world
            .state()
            .instances
            .get(&id)
            .is_some_and(Body::keeps_log);
        HostPaths {
            log: if keeps_log {
                dir.join(format!("{}-json.log", id.simple()))
            } else {
                PathBuf::new()
            },
            upper: dir.join("upper"),
            resolv_conf: dir.join("resolv.conf"),
            hostname: dir.join("hostname"),
            hosts: dir.join("hosts"),
        }
    }
}

impl World {
    async fn until_stopped(&self, id: Id, changed: &mut watch::Receiver<u64>) {
        while self.is_running(id) {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }
}

impl Body {
    pub(super) fn keeps_log(&self) -> bool {
        self.instance
            .spec
            .containers
            .first()
            .is_some_and(|container| container.log != LogConfig::None)
    }
}

impl State {
    fn current(&mut self, id: Id) -> Result<&mut CurrentRun, Failure> {
        let body = self.body(id)?;
        body.run
            .as_mut()
            .filter(|current| current.exit.is_none())
            .ok_or_else(|| not_running(id))
    }
}

fn signal_number(text: &str) -> Result<i32, Failure> {
    signal::parse(text).map_err(|error| failure(FailureKind::Invalid, &error))
}
