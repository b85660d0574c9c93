use super::*;
use crate::sink::Storing;
use crate::sink::queue::HAND_OVER;
use core::time::Duration;
use dtu_net::backoff::Backoff;
use dtu_net::breaker::BreakerConfig;
use dtu_net::driver::{Client, ClientConfig, Endpoints, Server, ServerConfig, Target};
use dtu_net::{DeviceConfig, Outcome, Outgoing};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use std::collections::HashSet;
use std::sync::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What a sink of these tests has kept: its lines, each once, as a broker that drops repeats has them.
#[derive(Debug, Default)]
struct Kept {
    lines: Vec<String>,
    known: HashSet<String>,
}

impl Kept {
    fn keep(&mut self, lines: &[u8]) {
        for line in core::str::from_utf8(lines).unwrap().lines() {
            if self.known.insert(line.to_owned()) {
                self.lines.push(line.to_owned());
            }
        }
    }
}

/// A sink that fails, keeps a part and fails, or takes its time, as the seed has it.
struct Faulty {
    rng: Xoshiro256PlusPlus,
    kept: Arc<Mutex<Kept>>,
}

impl Faulty {
    fn start(seed: u64) -> (Box<dyn Sink>, Arc<Mutex<Kept>>) {
        let kept = Arc::<Mutex<Kept>>::default();
        (Box::new(Self { rng: Xoshiro256PlusPlus::seed_from_u64(seed), kept: Arc::clone(&kept) }), kept)
    }
}

impl Sink for Faulty {
    fn name(&self) -> &'static str {
        "faulty"
    }

    fn store<'a>(&'a mut self, batch: &'a Batch) -> Storing<'a> {
        Box::pin(async move {
            assert!(!batch.is_empty(), "a batch without lines is no work for a sink");
            for _ in 0..self.rng.next_u64() % 20 {
                tokio::task::yield_now().await;
            }
            let lines = batch.lines();
            let ends: Vec<usize> = (0..lines.len()).filter(|&at| lines[at] == b'\n').collect();
            let part = self.rng.next_u64() % 4;
            if part == 0 {
                let end = ends[usize::try_from(self.rng.next_u64()).unwrap() % ends.len()];
                self.kept.lock().unwrap().keep(&lines[..end]);
            }
            if part <= 1 {
                return Err(SinkError::Unavailable(format!("part {part}")));
            }
            self.kept.lock().unwrap().keep(lines);
            Ok(())
        })
    }
}

/// The number in the line of [`Item::Missed`].
fn number(line: &str) -> u64 {
    line.rsplit_once(':').unwrap().1.trim_end_matches('}').parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn every_sink_has_everything_in_order_before_anybody_is_told() {
    for seed in 0..30 {
        let ((first, one), (second, two)) = (Faulty::start(seed), Faulty::start(seed + 1_000));
        let (queue, mut keeper) = start(vec![first, second]);
        for number in 1..=300 {
            queue.send(Item::Missed(number)).await.unwrap();
            if number % 50 == 0 {
                let (done, flushed) = oneshot::channel();
                queue.send(Item::Flush(done)).await.unwrap();
                flushed.await.unwrap();
                for kept in [&one, &two] {
                    let numbers: Vec<u64> = kept.lock().unwrap().lines.iter().map(|line| self::number(line)).collect();
                    assert!(numbers.iter().copied().eq(1..=number), "seed {seed}: {numbers:?} of {number}");
                }
            }
        }
        assert_eq!(queue.pending(), 0, "seed {seed}");
        drop(queue);
        keeper.ended().await.unwrap().unwrap();
        let books = keeper.books().sinks();
        assert_eq!((&*books[0].name, &*books[1].name), ("faulty", "faulty-2"));
        assert_eq!((books[0].records(), books[1].records()), (300, 300), "seed {seed}");
    }
}

/// A sink that does what it is told, and says what it was given.
struct Told {
    is_up: watch::Receiver<bool>,
    given: mpsc::UnboundedSender<(Instant, usize)>,
}

impl Sink for Told {
    fn name(&self) -> &'static str {
        "told"
    }

    fn store<'a>(&'a mut self, batch: &'a Batch) -> Storing<'a> {
        self.given.send((Instant::now(), batch.len())).unwrap();
        let is_up = *self.is_up.borrow();
        Box::pin(async move { if is_up { Ok(()) } else { Err(SinkError::Unavailable("no room".into())) } })
    }
}

#[tokio::test(start_paused = true)]
async fn while_a_sink_is_down_it_is_left_alone_and_the_queue_fills_and_nothing_is_lost() {
    let (up, is_up) = watch::channel(false);
    let (given, mut tries) = mpsc::unbounded_channel();
    let (queue, mut keeper) = start(vec![Box::new(Told { is_up, given })]);
    let began = Instant::now();
    let many = u64::from(QUEUE_RECORDS) + 100;
    let sender = tokio::spawn({
        let queue = queue.clone();
        async move {
            for number in 0..many {
                queue.send(Item::Missed(number)).await.unwrap();
            }
        }
    });
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!sender.is_finished(), "the bound presses back");
    assert_eq!(queue.pending(), u64::from(QUEUE_RECORDS) + 1, "the queue, and the one that waits for room");
    let book = &keeper.books().sinks()[0];
    assert!(book.is_down() && book.is_breaker_open());
    assert_eq!(keeper.books().down().as_deref(), Some("told: no room"));

    let mut times = Vec::new();
    while let Ok((at, _)) = tries.try_recv() {
        times.push(at.duration_since(began).as_secs_f64());
    }
    let pauses: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses[..4].iter().all(|pause| *pause < 2.0), "{times:?}");
    assert!(pauses[4..].iter().all(|pause| (4.9..=10.0).contains(pause)), "then the breaker is open: {times:?}");
    assert!((10..=18).contains(&times.len()), "{times:?}");

    up.send(true).unwrap();
    sender.await.unwrap();
    drop(queue);
    keeper.ended().await.unwrap().unwrap();
    let book = &keeper.books().sinks()[0];
    assert_eq!((book.records(), book.failures()), (many, u64::try_from(times.len()).unwrap()));
    assert!(!book.is_down() && !book.is_breaker_open());
}

/// A sink that waits for a permit before each batch.
struct Gated {
    gate: Arc<tokio::sync::Semaphore>,
    given: mpsc::UnboundedSender<usize>,
}

impl Sink for Gated {
    fn name(&self) -> &'static str {
        "gated"
    }

    fn store<'a>(&'a mut self, batch: &'a Batch) -> Storing<'a> {
        self.given.send(batch.len()).unwrap();
        Box::pin(async move {
            self.gate.acquire().await.unwrap().forget();
            Ok(())
        })
    }

    /// It leaves out one.
    fn keeps(&self, batch: &Batch) -> usize {
        batch.len() - 1
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_while_a_batch_is_stored_is_the_next_batch() {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let (given, mut batches) = mpsc::unbounded_channel();
    let (queue, mut keeper) = start(vec![Box::new(Gated { gate: Arc::clone(&gate), given })]);
    queue.send(Item::Missed(0)).await.unwrap();
    assert_eq!(batches.recv().await, Some(1));
    for number in 0..1_000 {
        queue.send(Item::Missed(number)).await.unwrap();
    }
    gate.add_permits(2);
    assert_eq!(batches.recv().await, Some(1_000));
    drop(queue);
    keeper.ended().await.unwrap().unwrap();
    assert_eq!(batches.recv().await, None);
    assert_eq!(keeper.books().sinks()[0].records(), 999, "what a sink leaves out does not count");
}

struct Lost;

impl Sink for Lost {
    fn name(&self) -> &'static str {
        "lost"
    }

    fn store<'a>(&'a mut self, _: &'a Batch) -> Storing<'a> {
        Box::pin(async { Err(SinkError::Gone("nobody reads".into())) })
    }
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_is_gone_ends_it_and_nobody_is_told_that_anything_is_kept() {
    let (faulty, _) = Faulty::start(1);
    let (queue, mut keeper) = start(vec![Box::new(Lost), faulty]);
    let (done, flushed) = oneshot::channel();
    queue.send(Item::Missed(1)).await.unwrap();
    queue.send(Item::Flush(done)).await.unwrap();
    let gone = keeper.ended().await.unwrap().unwrap_err();
    assert!(matches!(&gone, SinkError::Gone(text) if text == "nobody reads"), "{gone}");
    assert!(flushed.await.is_err());
    assert!(queue.send(Item::Missed(2)).await.is_err());
    assert_eq!(keeper.books().down().as_deref(), Some("lost: nobody reads"));
}

/// Quick, so that a test with real sockets need not wait.
const QUICK: Patience = Patience {
    repeat: Backoff::exponential(Duration::from_millis(1), 2_000, Duration::from_millis(4)),
    breaker: match BreakerConfig::DEFAULT.open_for(Duration::from_millis(4)) {
        Ok(config) => config,
        Err(_) => panic!("it is in its bounds"),
    },
};

/// Hands over what a session receives, as the gateway does.
async fn carry(session: Session, queue: Queue) {
    loop {
        let mut received = Vec::new();
        if session.recv_many(&mut received, HAND_OVER).await == 0 {
            return;
        }
        if queue.send(Item::Received { session: session.clone(), received }).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn data_is_acknowledged_when_every_sink_has_it_and_each_is_kept_once_and_in_order() {
    const DEVICES: usize = 3;
    const FRAMES: u32 = 500;
    let ((first, one), (second, two)) = (Faulty::start(7), Faulty::start(8));
    let (queue, mut keeper) = start_with(vec![first, second], QUICK);
    let loopback = "127.0.0.1:0".parse().unwrap();
    let mut server = Server::bind(loopback, ServerConfig::default(), CancellationToken::new()).unwrap();
    let addr = server.local_addr();
    let devices: Vec<_> = (0..DEVICES)
        .map(|number| {
            let sinks = [Arc::clone(&one), Arc::clone(&two)];
            tokio::spawn(async move {
                let id = format!("meter-{number}");
                let config = ClientConfig::new(DeviceConfig::new(&id).unwrap());
                let endpoints = Endpoints::from(Target::Tcp(addr.to_string()));
                let client = Client::start(endpoints, config, CancellationToken::new()).unwrap();
                let mut receipts = Vec::new();
                for seq in 0..FRAMES {
                    let body = seq.to_be_bytes().to_vec();
                    receipts.push(client.session().send(Outgoing::new(0, body)).await.unwrap());
                }
                for receipt in receipts {
                    let key = format!("\"device\":\"{id}\",\"stream\":\"");
                    let seq = format!("\"seq\":{},", receipt.seq());
                    assert_eq!(receipt.await, Outcome::Acked);
                    for kept in &sinks {
                        let kept = kept.lock().unwrap();
                        let is_kept = kept.lines.iter().any(|line| line.contains(&key) && line.contains(&seq));
                        assert!(is_kept, "{id} {seq} is acknowledged and not kept");
                    }
                }
                client.shut_down(Duration::ZERO).await;
            })
        })
        .collect();
    let carriers: Vec<_> = {
        let mut carriers = Vec::new();
        for _ in 0..DEVICES {
            carriers.push(tokio::spawn(carry(server.accept().await.unwrap(), queue.clone())));
        }
        carriers
    };
    for device in devices {
        device.await.unwrap();
    }
    server.shut_down(Duration::ZERO).await;
    for carrier in carriers {
        carrier.await.unwrap();
    }
    drop(queue);
    keeper.ended().await.unwrap().unwrap();
    for kept in [one, two] {
        let lines = &kept.lock().unwrap().lines;
        for number in 0..DEVICES {
            let of = |line: &&String| line.contains(&format!("\"meter-{number}\""));
            let seqs = lines.iter().filter(of).map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
            let seqs: Vec<u64> = seqs.map(|line| line["seq"].as_u64().unwrap()).collect();
            assert!(seqs.iter().copied().eq(0..u64::from(FRAMES)), "meter-{number}: {seqs:?}");
        }
    }
}
