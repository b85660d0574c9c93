//! Two machines, a pipe and a clock.

use super::config::{Config, MILLISECOND};
use super::scene::{Dial, End, Scene, What};
use super::side::Side;
use super::store::Mirror;
use core::time::Duration;
use dtu_net::auth::Key;
use dtu_net::{Carrier, Cause, Device, DeviceConfig, Epoch, Handshake, Limits, Link, Server, State};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::Arc;

pub(crate) const KEY: [u8; 16] = *b"sixteen bytes it";

/// What a run came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) trace: u64,
    pub(crate) acked: u64,
    pub(crate) connected: u64,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) scene: Scene,
    pub(crate) device: Side<Device>,
    pub(crate) server: Side<Server>,
    store: Option<Mirror>,
    pub(crate) handshakes: BTreeMap<u32, Handshake>,
    /// The REGISTER that the server's connection came about by, on datagrams.
    pub(crate) registered: Vec<u8>,
    /// When this process of the device has dialled.
    dialled: Vec<u64>,
    closed: bool,
    steps: u64,
}

pub(crate) fn server_link(scene: &mut Scene) -> Link<Server> {
    let stream = scene.random.stream();
    Link::server(Arc::new(scene.config.limits[1]), stream, scene.instant())
}

fn device_link(scene: &mut Scene, store: Option<&Mirror>) -> Link<Device> {
    let mut config = DeviceConfig::new("meter-7").expect("an id");
    config.limits = scene.config.limits[0];
    config.backoff = scene.config.backoff;
    config.key = Some(Key::new(&KEY).expect("a key"));
    let (stream, seed, now) = (scene.random.stream(), scene.random.next(), scene.instant());
    match store {
        Some(store) => Link::restored(config, store.kept(), Box::new(store.clone()), seed, now),
        None => Link::device(config, stream, seed, now),
    }
}

impl World {
    pub(crate) fn new(config: Config, printed: bool) -> Self {
        let mut scene = Scene::new(config, printed);
        let stream = scene.random.stream();
        let store = scene.config.store.map(|first| Mirror::new(stream, first, scene.config.store_fails));
        let device = Side::new(End::Device, device_link(&mut scene, store.as_ref()), 0, 0);
        let server = Side::new(End::Server, server_link(&mut scene), 0, 0);
        let c = scene.config.clone();
        for end in [End::Device, End::Server] {
            scene.plan_about(c.send_mean[end as usize], What::Send(end));
        }
        scene.plan_about(c.cut_mean, What::Cut);
        scene.plan_about(c.stall_mean, What::Stall);
        scene.plan_about(c.server_restart_mean, What::Restart(End::Server));
        scene.plan_about(c.device_restart_mean, What::Restart(End::Device));
        if c.close {
            scene.plan(c.quiet_at, What::Close);
        }
        let (handshakes, registered, dialled) = (BTreeMap::new(), Vec::new(), Vec::new());
        Self { scene, device, server, store, handshakes, registered, dialled, closed: false, steps: 0 }
    }

    /// Runs to the end, which comes within a bound of the quiet.
    pub(crate) fn run(mut self) -> Report {
        let end = self.scene.config.quiet_at + self.quiet_bound();
        while !self.is_done() {
            let next = self.next_at();
            assert!(next <= end, "not done within the bound: device {:#?} server {:#?}", self.device, self.server);
            self.scene.now = self.scene.now.max(next);
            self.step();
        }
        self.judge_dials();
        let (device, server) = (self.device.link.counters(), self.server.link.counters());
        Report {
            trace: self.scene.trace.hash(),
            acked: device.ledger.acked + server.ledger.acked,
            connected: device.connected,
        }
    }

    /// From the quiet on: everything old dies of silence, the device waits for its longest delay, connects and registers,
    /// and then each DATA takes a few round trips and repeats.
    fn quiet_bound(&self) -> u64 {
        let [device, server] = &self.scene.config.limits;
        let both = |of: fn(&Limits) -> Duration| of(device).max(of(server));
        let silence = 2 * Duration::from_secs(30) + device.probe_timeout * device.probes;
        let delay = self.scene.config.backoff.interval(u32::MAX).end().max(&(2 * device.unwanted)).to_owned();
        let connect = delay + device.connect + 2 * both(|limits| limits.identify);
        let repeats = 4 * both(|limits| limits.resend_max);
        let travel = self.scene.config.delay + self.scene.config.jitter + 2_000_000;
        let frames = 2 * self.scene.config.quiet_at / self.scene.config.send_mean.iter().min().expect("two");
        let stalls = self.scene.config.stall_most;
        // Whose CLOSE was lost is away for good.
        let away = if self.scene.config.close { server.retention } else { Duration::ZERO };
        (2 * silence + 2 * connect + repeats + away).as_micros() as u64 + stalls + 8 * travel * (frames + 4)
    }

    fn is_done(&self) -> bool {
        let (device, server) = (&self.device.link, &self.server.link);
        if self.scene.config.close && !self.closed {
            return false;
        }
        let settled = device.counters().ledger.pending == 0 && server.counters().ledger.pending == 0;
        let read = !device.has_received() && !server.has_received();
        let rest = device.state() == State::Connected || device.state() == State::Closed || self.closed;
        self.scene.is_quiet() && settled && read && rest
    }

    fn next_at(&self) -> u64 {
        let handshakes = self.handshakes.values().filter_map(Handshake::poll_timeout);
        let links = [self.device.link.poll_timeout(), self.server.link.poll_timeout()];
        let timers = links.into_iter().flatten().chain(handshakes).map(|(at, _)| self.scene.micros(at));
        timers.chain(self.scene.next_at()).min().unwrap_or(u64::MAX)
    }

    fn step(&mut self) {
        self.steps += 1;
        let now = self.scene.instant();
        if self.scene.random.permille(2) {
            self.device.early_timeout(&self.scene);
            self.server.early_timeout(&self.scene);
        }
        // What is due at the same instant comes in either order.
        let timers_first = self.scene.random.permille(500);
        if timers_first {
            self.timeouts(now);
        }
        if let Some(what) = self.scene.take_due() {
            self.happen(what);
        }
        if !timers_first {
            self.timeouts(now);
        }
        self.dial();
    }

    fn timeouts(&mut self, now: std::time::Instant) {
        let is_due = |timeout: Option<(std::time::Instant, _)>| timeout.is_some_and(|(at, _)| at <= now);
        if is_due(self.device.link.poll_timeout()) {
            self.device.timeout(&mut self.scene);
        }
        if is_due(self.server.link.poll_timeout()) {
            self.server.timeout(&mut self.scene);
        }
        let due: Vec<u32> =
            self.handshakes.iter().filter(|(_, of)| is_due(of.poll_timeout())).map(|(conn, _)| *conn).collect();
        for conn in due {
            if let Some(handshake) = self.handshakes.get_mut(&conn) {
                handshake.handle_timeout(now);
                assert!(handshake.poll_timeout().is_none_or(|(at, _)| at > now), "a handshake is due again at once");
            }
            self.handshake(conn);
        }
    }

    fn happen(&mut self, what: What) {
        let scene = &mut self.scene;
        let again = !scene.is_quiet();
        match what {
            What::Arrive { conn, to, bytes, damaged } => {
                if scene.arrive(conn, to, &bytes) {
                    if scene.is_ordered() && scene.fails(300) {
                        // Not read at once, and then in one piece with what follows.
                        scene.plan_about(30 * MILLISECOND, What::Read { conn, to });
                    } else {
                        self.read(conn, to, damaged);
                    }
                }
            }
            What::Read { conn, to } => self.read(conn, to, false),
            What::Over { conn, to, cause } => {
                scene.lane(conn, to).over = Some(cause);
                self.read(conn, to, false);
            }
            What::Dialled { life, epoch, outcome } => self.dialled(life, epoch, outcome),
            What::Decide { conn } => self.decide(conn),
            What::Send(end) => {
                if again {
                    scene.plan_about(scene.config.send_mean[end as usize], What::Send(end));
                    let burst = if scene.random.permille(200) { scene.random.between(2, 8) } else { 1 };
                    match end {
                        End::Device => self.device.send(scene, burst),
                        End::Server => self.server.send(scene, burst),
                    }
                }
            }
            What::Poll(End::Device) => self.device.poll(scene),
            What::Poll(End::Server) => self.server.poll(scene),
            What::Commit { end, life, mark } => match end {
                End::Device if life == self.device.life => self.device.commit(scene, mark),
                End::Server if life == self.server.life => self.server.commit(scene, mark),
                End::Device | End::Server => {}
            },
            What::Cut if again => {
                scene.cut();
                scene.plan_about(scene.config.cut_mean, What::Cut);
            }
            What::Stall if again => {
                scene.stall();
                scene.plan_about(scene.config.stall_mean, What::Stall);
            }
            What::Restart(end) if again => {
                self.restart(end);
                let means = [self.scene.config.device_restart_mean, self.scene.config.server_restart_mean];
                self.scene.plan_about(means[end as usize], What::Restart(end));
            }
            What::Cut | What::Stall | What::Restart(_) => {}
            What::Close => {
                self.closed = true;
                if scene.random.permille(500) { self.device.close(scene) } else { self.server.close(scene) }
            }
        }
    }

    fn dial(&mut self) {
        let scene = &mut self.scene;
        while let Some(epoch) = self.device.link.poll_connect() {
            self.dialled.push(scene.now);
            let outcome = if !scene.fails(scene.config.connect_fails) {
                Dial::Accepted
            } else if scene.is_ordered() {
                scene.random.pick(&[Dial::Dropped, Dial::Failed(ErrorKind::ConnectionRefused), Dial::NoAnswer])
            } else {
                Dial::Failed(ErrorKind::NetworkUnreachable)
            };
            scene.trace.note(scene.now, format_args!("dial {epoch}: {outcome:?}"));
            let at = scene.now + scene.config.delay + scene.random.up_to(scene.config.jitter);
            scene.plan(at, What::Dialled { life: self.device.life, epoch, outcome });
        }
    }

    fn dialled(&mut self, life: u32, epoch: Epoch, outcome: Dial) {
        let scene = &mut self.scene;
        if life != self.device.life || outcome == Dial::NoAnswer {
            return;
        }
        let (now, carrier) = (scene.instant(), scene.config.carrier);
        if let Dial::Failed(kind) = outcome {
            self.device.link.handle_disconnected(epoch, now, Cause::Transport(kind));
            return self.device.pump(scene);
        }
        self.device.link.handle_connected(epoch, now, carrier);
        if self.device.link.is_live(epoch) {
            let conn = scene.open();
            self.device.begins(scene, epoch, conn);
            if outcome == Dial::Dropped {
                scene.close(conn, End::Server, true);
            } else if carrier == Carrier::Stream {
                self.handshakes.insert(conn, Handshake::new(Arc::new(scene.config.limits[1]), carrier, 0, now));
            }
            self.device.pump(scene);
        }
    }

    /// A process ends without a word and another one takes its place.
    fn restart(&mut self, end: End) {
        let scene = &mut self.scene;
        scene.trace.note(scene.now, format_args!("restart {end:?}"));
        let told = scene.random.permille(600);
        let conns: Vec<u32> = match end {
            End::Device => self.device.conns.iter().map(|(_, conn)| *conn).collect(),
            End::Server => {
                let open = self.server.conns.iter().map(|(_, conn)| *conn);
                open.chain(core::mem::take(&mut self.handshakes).into_keys()).collect()
            }
        };
        for conn in conns {
            scene.close(conn, end, told);
            if end == End::Server && !scene.is_ordered() {
                scene.lose(conn);
            }
        }
        match end {
            End::Device => {
                self.judge_dials();
                self.dialled.clear();
                let link = device_link(&mut self.scene, self.store.as_ref());
                self.device = Side::new(end, link, self.device.life + 1, self.scene.now);
            }
            End::Server => {
                let link = server_link(scene);
                self.server = Side::new(end, link, self.server.life + 1, self.scene.now);
            }
        }
    }

    /// In no window does a device dial more often than its backoff allows.
    fn judge_dials(&self) {
        let backoff = &self.scene.config.backoff;
        for (first, from) in self.dialled.iter().enumerate() {
            for step in [1, 2, 3, 5, 8, 13, 21, 34, 55] {
                let Some(until) = self.dialled.get(first + step) else { break };
                let most = backoff.max_attempts_within(Duration::from_micros(until - from));
                assert!((step as u64) < most, "{} dials from {from} to {until}, at most {most}", step + 1);
            }
        }
    }
}
