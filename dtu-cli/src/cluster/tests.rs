//! Gateways that share a fleet, with a real server.

use super::key::Name;
use super::ledger::{Done, Work};
use super::*;
use crate::nats::nats_server::NatsServer;
use crate::request::ask::Outcome;
use async_nats::jetstream::{self, kv::Operation, kv::Store};
use futures_util::{FutureExt, StreamExt};
use std::collections::HashSet;
use tokio::sync::mpsc;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// A gateway that lets go, and answers with its name.
struct Gateway {
    cluster: Cluster,
    gone: mpsc::UnboundedReceiver<String>,
}

struct FakeLocal {
    name: String,
    gone: mpsc::UnboundedSender<String>,
}

impl Local for FakeLocal {
    fn let_go(&self, device: &str) {
        self.gone.send(device.to_owned()).unwrap();
    }

    fn ask(&self, ask: Ask) -> BoxFuture<'_, Answer> {
        async move {
            match &*ask.hex {
                "00" => Answer::failed(&ask.device, Outcome::UnknownDevice, "it has left"),
                "ff" => Answer { hex: Some("ab".repeat(100_000)), ..Answer::failed(&ask.device, Outcome::Replied, "") },
                hex => Answer {
                    hex: Some(hex.to_owned()),
                    ..Answer::failed(&ask.device, Outcome::Replied, format!("by {}", self.name))
                },
            }
        }
        .boxed()
    }
}

impl Gateway {
    async fn start(addr: &str, name: &str) -> Self {
        let settings = toml::from_str("").unwrap();
        let nats = toml::from_str(&format!("servers = ['{addr}']")).unwrap();
        let (sender, gone) = mpsc::unbounded_channel();
        let local = Arc::new(FakeLocal { name: name.to_owned(), gone: sender });
        let cluster = Cluster::open(&settings, &nats, name, local).await.unwrap();
        Self { cluster, gone }
    }

    /// One that has reached NATS.
    async fn up(addr: &str, name: &str) -> Self {
        let gateway = Self::start(addr, name).await;
        gateway.is_up().await;
        gateway
    }

    async fn is_up(&self) {
        let up = async {
            while !self.cluster.is_up() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, up).await.expect("NATS is there");
    }

    fn claim(&self, device: &str) {
        self.cluster.claim(&device.into());
    }

    async fn lets_go(&mut self) -> String {
        timeout(PATIENCE, self.gone.recv()).await.expect("it lets go").unwrap()
    }

    async fn ask(&self, device: &str, hex: &str) -> (Outcome, String) {
        let ask = Ask { device: device.into(), hex: hex.into(), timeout_ms: 1000, channel: None };
        let answer = timeout(PATIENCE, self.cluster.ask(&ask)).await.unwrap();
        assert_eq!(answer.device, device);
        (answer.outcome, answer.text.unwrap_or_default())
    }
}

/// The bucket as a third party sees it.
async fn bucket(addr: &str) -> Store {
    let client = async_nats::ConnectOptions::new().retry_on_initial_connect().connect(addr).await.unwrap();
    let context = jetstream::new(client);
    let open = async {
        loop {
            if let Ok(store) = context.get_key_value("dtu_owners").await {
                return store;
            }
        }
    };
    timeout(PATIENCE, open).await.expect("the gateways make it")
}

/// Waits until the key of the device says that this gateway has it, or nobody.
async fn is_with(bucket: &Store, device: &str, expected: Option<&str>) {
    let mut watch = bucket.watch_with_history(Name::device_key(device)).await.unwrap();
    let seen = async {
        loop {
            let entry = watch.next().await.unwrap().unwrap();
            let owner = Owner::of(&entry).map(|owner| owner.gateway);
            assert!(owner.is_some() || entry.operation != Operation::Put);
            if owner.as_deref() == expected {
                return;
            }
        }
    };
    timeout(PATIENCE, seen).await.unwrap_or_else(|_| panic!("{device} is not with {expected:?}"));
}

/// The bucket as gateways make it, with the key of a device that says that another has had it since an hour from now.
async fn bucket_of_the_future(addr: &str, device: &str) -> Store {
    let context = jetstream::new(async_nats::connect(addr).await.unwrap());
    let store = super::bucket::open(&context, &toml::from_str("").unwrap()).await.unwrap();
    let owner = Owner { gateway: "fast".into(), instance: "0".repeat(16), since: now() + 3_600_000 };
    store.put(Name::device_key(device), serde_json::to_vec(&owner).unwrap().into()).await.unwrap();
    store
}

#[tokio::test]
async fn a_clock_that_is_fast_keeps_no_device_where_it_is_not() {
    let Some(server) = NatsServer::start() else { return };
    let addr = server.addr();
    let bucket = bucket_of_the_future(&addr, "m").await;
    let (mut a, mut b) = (Gateway::up(&addr, "a").await, Gateway::up(&addr, "b").await);
    a.claim("m");
    is_with(&bucket, "m", Some("a")).await;
    // And that is later than what the fast one has said, for all who come behind.
    b.claim("m");
    assert_eq!(a.lets_go().await, "m");
    is_with(&bucket, "m", Some("b")).await;
    a.claim("m");
    assert_eq!(b.lets_go().await, "m");
}

#[tokio::test]
async fn who_came_while_nats_was_away_concedes_to_who_says_that_he_came_later() {
    let Some(server) = NatsServer::start() else { return };
    let addr = server.addr();
    let bucket = bucket_of_the_future(&addr, "m").await;
    let mut a = Gateway::start(&addr, "a").await;
    assert!(!a.cluster.is_up());
    a.claim("m");
    assert_eq!(a.lets_go().await, "m");
    is_with(&bucket, "m", Some("fast")).await;
}

#[tokio::test]
async fn a_key_is_deleted_only_while_it_is_what_it_was() {
    let Some(server) = NatsServer::start() else { return };
    let addr = server.addr();
    let store = bucket_of_the_future(&addr, "m").await;
    let (key, us) = (Name::device_key("m"), Owner { gateway: "a".into(), instance: "1".into(), since: 0 });
    let before = store.entry(&key).await.unwrap().unwrap().revision;
    let claim = Work::Claim { since: now(), is_fresh: true };
    let (done, was_others) = super::bucket::work(&store, &key, &us, claim).await.unwrap();
    let Done::Claimed { revision, .. } = done else { panic!("{done:?}") };
    assert!(was_others);
    // The word of it was lost, and it is asked for again.
    assert!(!super::bucket::work(&store, &key, &us, claim).await.unwrap().1);
    for (revision, is_left) in [(before, true), (revision, false)] {
        let released = super::bucket::work(&store, &key, &us, Work::Release { revision }).await.unwrap();
        assert_eq!(released, (Done::Released, false));
        assert_eq!(store.get(&key).await.unwrap().is_some(), is_left);
    }
}

#[tokio::test]
async fn a_device_that_goes_to_another_gateway_is_let_go_by_the_first_and_may_come_back() {
    let Some(server) = NatsServer::start() else { return };
    let addr = server.addr();
    let (mut a, mut b) = (Gateway::up(&addr, "a").await, Gateway::up(&addr, "b").await);
    let bucket = bucket(&addr).await;
    for device in ["meter.7", "水 *>"] {
        a.claim(device);
        is_with(&bucket, device, Some("a")).await;
        b.claim(device);
        assert_eq!(a.lets_go().await, device);
        is_with(&bucket, device, Some("b")).await;
        // The session at the first ends by that, and its end changes nothing.
        a.cluster.release(device);
        a.claim(device);
        assert_eq!(b.lets_go().await, device);
        is_with(&bucket, device, Some("a")).await;
        a.cluster.release(device);
        is_with(&bucket, device, None).await;
        // A key that was deleted is made again.
        b.claim(device);
        is_with(&bucket, device, Some("b")).await;
    }
    assert!(a.gone.try_recv().is_err() && b.gone.try_recv().is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_gateways_that_claim_at_the_same_time_one_has_the_device_and_the_others_let_go() {
    const DEVICES: usize = 100;
    let Some(server) = NatsServer::start() else { return };
    let addr = server.addr();
    let mut gateways = Vec::new();
    for name in ["a", "b", "c"] {
        gateways.push(Gateway::up(&addr, name).await);
    }
    for device in 0..DEVICES {
        gateways.iter().for_each(|gateway| gateway.claim(&format!("d-{device}")));
    }
    // Each device is let go by all but one.
    let mut gone = vec![HashSet::new(); 3];
    let mut total = 0;
    while total < 2 * DEVICES {
        let [a, b, c] = &mut gateways[..] else { unreachable!("there are three") };
        let (place, device) = tokio::select! {
            device = a.lets_go() => (0, device),
            device = b.lets_go() => (1, device),
            device = c.lets_go() => (2, device),
        };
        assert!(gone[place].insert(device), "once");
        total += 1;
    }
    let bucket = bucket(&addr).await;
    for device in 0..DEVICES {
        let device = format!("d-{device}");
        let has: Vec<_> = ["a", "b", "c"].into_iter().zip(&gone).filter(|(_, gone)| !gone.contains(&device)).collect();
        assert_eq!(has.len(), 1, "{device}");
        is_with(&bucket, &device, Some(has[0].0)).await;
    }
}

#[tokio::test]
async fn requests_go_to_the_gateway_that_has_the_device() {
    let Some(server) = NatsServer::start() else { return };
    let addr = server.addr();
    let (a, b) = (Gateway::up(&addr, "a").await, Gateway::up(&addr, "b").await);
    let bucket = bucket(&addr).await;
    let (outcome, text) = a.ask("m", "01").await;
    assert_eq!((outcome, &*text), (Outcome::UnknownDevice, "no such device has come to any gateway"));
    b.claim("m");
    is_with(&bucket, "m", Some("b")).await;
    assert_eq!(a.ask("m", "01").await, (Outcome::Replied, "by b".into()));
    // Who has it himself has looked already.
    assert_eq!(b.ask("m", "01").await.0, Outcome::UnknownDevice);
    // The gateway's own word that it has left.
    assert_eq!(a.ask("m", "00").await, (Outcome::UnknownDevice, "it has left".into()));
    let long = "01".repeat(100_000);
    assert_eq!(a.ask("m", &long).await.0, Outcome::BadRequest);
    // It vanishes without giving its keys up.
    drop(b);
    let gone = async { while a.ask("m", "01").await.0 == Outcome::Replied {} };
    timeout(PATIENCE, gone).await.unwrap();
    let expected = (Outcome::UnknownDevice, "the gateway b, which had it, is gone".into());
    assert_eq!(a.ask("m", "01").await, expected);
    // And its device comes here.
    a.claim("m");
    is_with(&bucket, "m", Some("a")).await;
}

#[tokio::test]
async fn a_reply_that_nats_does_not_take_is_told() {
    let Some(server) = NatsServer::start_with("max_payload: 16KB") else { return };
    let addr = server.addr();
    let (a, b) = (Gateway::up(&addr, "a").await, Gateway::up(&addr, "b").await);
    b.claim("m");
    is_with(&bucket(&addr).await, "m", Some("b")).await;
    let (outcome, text) = a.ask("m", "ff").await;
    assert!(outcome == Outcome::LineGone && text.contains("NATS takes 16384"), "{text}");
}

#[tokio::test]
async fn what_is_no_request_is_answered_as_such() {
    let Some(server) = NatsServer::start() else { return };
    let a = Gateway::up(&server.addr(), "a").await;
    let client = async_nats::connect(server.addr()).await.unwrap();
    for body in ["", "{}", "[", "{\"device\":1}", &"x".repeat(300_000)] {
        let subject = a.cluster.shared.subject(&a.cluster.shared.us);
        let reply = client.request(subject, body.to_owned().into()).await.unwrap();
        let answer: Answer = serde_json::from_slice(&reply.payload).unwrap();
        assert_eq!(answer.outcome, Outcome::BadRequest);
    }
}

#[tokio::test]
async fn without_nats_devices_are_served_and_claimed_when_it_comes() {
    let Some(mut server) = NatsServer::prepare("") else { return };
    let addr = server.addr();
    let a = Gateway::start(&addr, "a").await;
    a.claim("m");
    a.claim("n");
    a.cluster.release("n");
    let (outcome, text) = a.ask("x", "01").await;
    assert!(outcome == Outcome::UnknownDevice && text.contains("NATS is not reached"), "{text}");
    let starting = tokio::task::spawn_blocking(move || {
        server.up();
        server
    });
    let _server = starting.await.unwrap();
    is_with(&bucket(&addr).await, "m", Some("a")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_moved_while_nats_was_away_stays_where_he_came_last() {
    let Some(mut server) = NatsServer::start() else { return };
    let addr = server.addr();
    let (mut a, mut b) = (Gateway::up(&addr, "a").await, Gateway::up(&addr, "b").await);
    for device in ["moves", "stays", "returns"] {
        a.claim(device);
        is_with(&bucket(&addr).await, device, Some("a")).await;
    }
    server.kill();
    let down = async {
        while a.cluster.is_up() || b.cluster.is_up() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, down).await.unwrap();
    b.claim("moves");
    b.claim("returns");
    // A millisecond later at least.
    tokio::time::sleep(Duration::from_millis(5)).await;
    a.claim("returns");
    server = tokio::task::spawn_blocking(move || {
        server.up();
        server
    })
    .await
    .unwrap();
    assert_eq!(a.lets_go().await, "moves");
    assert_eq!(b.lets_go().await, "returns");
    let bucket = bucket(&addr).await;
    is_with(&bucket, "moves", Some("b")).await;
    is_with(&bucket, "stays", Some("a")).await;
    is_with(&bucket, "returns", Some("a")).await;
    assert!(a.gone.try_recv().is_err() && b.gone.try_recv().is_err());
    drop(server);
}

#[tokio::test]
async fn keys_that_are_lost_are_made_again() {
    let Some(server) = NatsServer::start() else { return };
    let addr = server.addr();
    let mut a = Gateway::up(&addr, "a").await;
    a.claim("m");
    let store = bucket(&addr).await;
    is_with(&store, "m", Some("a")).await;
    // By another hand.
    store.purge(Name::device_key("m")).await.unwrap();
    is_with(&store, "m", Some("a")).await;
    store.put(Name::device_key("m"), "nonsense".into()).await.unwrap();
    is_with_or_nonsense(&store, "m", "a").await;
    assert!(a.gone.try_recv().is_err());
}

/// Waits until the key says that this gateway has the device, whatever it said before.
async fn is_with_or_nonsense(bucket: &Store, device: &str, expected: &str) {
    let mut watch = bucket.watch_with_history(Name::device_key(device)).await.unwrap();
    let seen = async {
        while let Some(entry) = watch.next().await {
            if Owner::of(&entry.unwrap()).is_some_and(|owner| owner.gateway == expected) {
                return;
            }
        }
    };
    timeout(PATIENCE, seen).await.unwrap();
}

#[tokio::test]
async fn two_gateways_with_one_id_are_told_and_each_has_its_own_devices() {
    let Some(server) = NatsServer::start() else { return };
    let addr = server.addr();
    let mut a = Gateway::up(&addr, "same").await;
    assert_eq!(a.cluster.twins(), 0);
    let b = Gateway::up(&addr, "same").await;
    assert_eq!(b.cluster.twins(), 1);
    a.claim("m");
    let bucket = bucket(&addr).await;
    is_with(&bucket, "m", Some("same")).await;
    // By then the first has read what the second wrote before.
    b.claim("m");
    assert_eq!(a.lets_go().await, "m");
    assert_eq!(a.cluster.twins(), 1);
    assert_eq!(a.ask("m", "01").await, (Outcome::Replied, "by same".into()));
    // One that comes after both are gone is no twin.
    drop((a, b));
    let c = Gateway::up(&addr, "same").await;
    let alone = async {
        // Their connections may last a moment longer.
        loop {
            let next = Gateway::up(&addr, "alone").await;
            if next.cluster.twins() == 0 {
                return;
            }
        }
    };
    timeout(PATIENCE, alone).await.unwrap();
    drop(c);
}

#[tokio::test]
async fn a_gateway_that_ends_gives_its_keys_up_and_no_others() {
    let Some(server) = NatsServer::start() else { return };
    let addr = server.addr();
    let (a, b) = (Gateway::up(&addr, "a").await, Gateway::up(&addr, "b").await);
    let bucket = bucket(&addr).await;
    b.claim("of-b");
    for device in 0..200 {
        a.claim(&format!("d-{device}"));
    }
    is_with(&bucket, "of-b", Some("b")).await;
    a.cluster.shut_down().await;
    let mut keys = bucket.keys().await.unwrap();
    let mut left = HashSet::new();
    while let Some(key) = keys.next().await {
        left.insert(key.unwrap());
    }
    left.retain(|key| key.starts_with("device."));
    assert_eq!(left, HashSet::from([Name::device_key("of-b")]));
}
