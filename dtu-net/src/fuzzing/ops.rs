//! Any calls in any order, on both ends of a link and on the line between them.

use super::world::{Door, World};
use crate::limits::WhenFull;
use crate::{Carrier, Mark, Outgoing};
use core::time::Duration;
use dtu_proto::Native;
use dtu_proto::message::{CloseCode, Datagram, Message, RefuseCode};

/// The calls of one input, which bound its cost.
const OPS: usize = 400;

/// The choices of an input, one byte each; zeros when it is used up.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> u8 {
        self.0.split_off_first().copied().unwrap_or(0)
    }

    fn bit(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end.max(1)
    }

    fn bytes(&mut self) -> &'a [u8] {
        let count = usize::from(self.byte()).min(self.0.len());
        self.0.split_off(..count).unwrap_or_default()
    }

    fn duration(&mut self) -> Duration {
        const SPANS: [u64; 12] = [0, 1, 20, 100, 500, 1000, 3000, 10_000, 20_000, 30_000, 60_000, 3_700_000];
        Duration::from_millis(SPANS[self.below(SPANS.len())])
    }
}

/// Whatever is called in whatever order: the ledger of each end balances and agrees with its owner's, each DATA has one
/// outcome, and acked only when the other side committed it; what is handed out was sent, in order, each once; memory
/// keeps its bound; every loop ends; after `handle_timeout` no deadline is due; what is said of an old epoch changes
/// nothing; and on a line that is good again everything comes to its outcome. Foreign bytes may break what is said about
/// the other side, nothing else.
///
/// Input: stream or datagrams, the outbox's policy, a seed, then calls of one byte each and what they take.
pub fn link_ops(input: &[u8]) {
    let mut input = Input(input);
    let datagrams = input.bit();
    let when_full = [WhenFull::Wait, WhenFull::RefuseNew, WhenFull::DropOldest][input.below(3)];
    let mut world = World::new(datagrams, when_full, u64::from(input.byte()));
    for _ in 0..OPS {
        if input.0.is_empty() {
            break;
        }
        call(&mut world, &mut input);
        world.settle();
    }
    world.heal();
}

fn call(world: &mut World, input: &mut Input<'_>) {
    match input.byte() % 20 {
        0 | 1 => send(world, input),
        2 => receive(world, input),
        3 => commit(world, input),
        4 => world.deliver_up(),
        5 => world.deliver_down(),
        6 => flow(world, input),
        7 => damage(world, input),
        8 => world.pass(input.duration()),
        9 => next_deadline(world, input),
        10 => world.hang_up(input.bit(), input.bit()),
        11 => world.connect(),
        12 => stale(world, input),
        13 => close(world, input),
        14 => garbage(world, input),
        15 => door(world, input),
        16 => world.device.link.reconnect_now(world.now),
        17 => {
            // The usual way to a connection in one call.
            let now = world.now;
            world.device.link.reconnect_now(now);
            world.pass(Duration::ZERO);
            world.connect();
            flow_all(world, 4);
        }
        18 => {
            if input.byte() == 0 {
                world.forget();
            }
        }
        _ => world.consume(),
    }
}

fn send(world: &mut World, input: &mut Input<'_>) {
    let (to_device, channel, length) = (input.bit(), input.byte(), input.byte());
    let deadline = input.bit().then(|| world.now + input.duration());
    let outgoing = Outgoing { deadline, ..Outgoing::new(channel, vec![channel; usize::from(length) * 2]) };
    if to_device { world.server.send(outgoing) } else { world.device.send(outgoing) }
}

fn receive(world: &mut World, input: &mut Input<'_>) {
    let World { device, server, honest, .. } = world;
    let (at_device, commit) = (input.bit(), input.bit());
    if at_device {
        let mark = device.receive(honest.then_some(&*server));
        mark.filter(|_| commit).into_iter().for_each(|mark| device.commit(mark));
    } else {
        let mark = server.receive(honest.then_some(&*device));
        mark.filter(|_| commit).into_iter().for_each(|mark| server.commit(mark));
    }
}

fn commit(world: &mut World, input: &mut Input<'_>) {
    let World { device, server, .. } = world;
    let (at_device, wrong) = (input.bit(), u64::from(input.byte() == 0));
    let next = u32::from(input.byte()).wrapping_sub(4);
    let peer = if at_device { server.link.stream() } else { device.link.stream() };
    let mark = Mark { stream: peer + wrong, next };
    if at_device { device.commit(mark) } else { server.commit(mark) }
}

fn flow(world: &mut World, input: &mut Input<'_>) {
    flow_all(world, 1 + input.below(4));
}

fn flow_all(world: &mut World, rounds: usize) {
    for _ in 0..rounds {
        world.settle();
        let Some(line) = &world.line else { return };
        let (up, down) = (line.up.len(), line.down.len());
        (0..up).for_each(|_| world.deliver_up());
        (0..down).for_each(|_| world.deliver_down());
    }
}

fn damage(world: &mut World, input: &mut Input<'_>) {
    let datagrams = world.carrier == Carrier::Datagrams;
    let Some(line) = &mut world.line else { return };
    let pieces = if input.bit() { &mut line.up } else { &mut line.down };
    let at = input.below(pieces.len());
    let Some(piece) = pieces.get_mut(at) else { return };
    let place = usize::from(input.byte()) * piece.len() / 256;
    match input.byte() % 5 {
        0 => piece[place] ^= 1 << (input.byte() % 8),
        1 => piece.truncate(place.max(1)),
        2 => drop(pieces.remove(at)),
        3 => {
            let twice = piece.clone();
            pieces.push_back(twice);
        }
        _ if datagrams => {
            let last = pieces.len() - 1;
            pieces.swap(at, last);
        }
        _ => {
            let rest = piece.split_off(place.max(1));
            if !rest.is_empty() {
                pieces.insert(at + 1, rest);
            }
        }
    }
}

/// Just before the next deadline of one side nothing happens; at it, something does.
fn next_deadline(world: &mut World, input: &mut Input<'_>) {
    let next = if input.bit() { world.device.link.poll_timeout() } else { world.server.link.poll_timeout() };
    let Some((deadline, _)) = next else { return };
    let early = (deadline - Duration::from_nanos(1)).saturating_duration_since(world.now);
    world.pass(early);
    let now = world.now;
    world.device.unmoved(|link| link.handle_timeout(now));
    world.server.unmoved(|link| link.handle_timeout(now));
    if input.bit() {
        world.pass(deadline.saturating_duration_since(world.now));
    }
}

fn stale(world: &mut World, input: &mut Input<'_>) {
    let (now, carrier) = (world.now, world.carrier);
    let mut frame = Vec::new();
    let message = Message::Ping { nonce: 1 };
    Native::new().encode_to(&message, &mut frame).unwrap();
    let datagram = Datagram { stream: world.device.link.stream(), message };
    let (of_device, of_server) = (input.below(world.old.0.len()), input.below(world.old.1.len()));
    if let Some(epoch) = world.old.0.get(of_device).copied().filter(|epoch| *epoch != world.device.link.epoch()) {
        world.device.unmoved(|link| {
            link.handle_bytes(epoch, now, &frame);
            link.handle_datagram(epoch, now, &datagram, frame.len());
            link.handle_disconnected(epoch, now, crate::Cause::Disconnected);
            link.handle_connected(epoch, now, carrier);
        });
    }
    if let Some(epoch) = world.old.1.get(of_server).copied().filter(|epoch| *epoch != world.server.link.epoch()) {
        world.server.unmoved(|link| {
            link.handle_bytes(epoch, now, &frame);
            link.handle_datagram(epoch, now, &datagram, frame.len());
            link.handle_disconnected(epoch, now, crate::Cause::Disconnected);
        });
    }
}

fn close(world: &mut World, input: &mut Input<'_>) {
    let (at_device, code) = (input.bit(), CloseCode(input.byte() % 6));
    // Seldom, since little happens after it.
    if input.byte().is_multiple_of(8) {
        let (now, drain) = (world.now, input.duration());
        if at_device {
            world.device.link.close(now, code, "closed", drain);
        } else {
            world.server.link.close(now, code, "closed", drain);
        }
    }
}

/// Bytes that no link said: as they are, or in a frame.
fn garbage(world: &mut World, input: &mut Input<'_>) {
    let (to_device, framed, seldom) = (input.bit(), input.bit(), input.byte());
    let bytes = input.bytes();
    let Some(line) = world.line.as_mut().filter(|_| seldom.is_multiple_of(4)) else { return };
    world.honest = false;
    let mut piece = Vec::new();
    match world.carrier {
        _ if !framed => piece.extend_from_slice(bytes),
        Carrier::Stream => {
            Native::new().encode_to(bytes, &mut piece).unwrap();
        }
        Carrier::Datagrams => {
            let payload = [&world.device.link.stream().to_be_bytes()[..], bytes].concat();
            Native::new().encode_to(&payload[..], &mut piece).unwrap();
        }
    }
    if !piece.is_empty() {
        if to_device { line.down.push_front(piece) } else { line.up.push_front(piece) }
    }
}

fn door(world: &mut World, input: &mut Input<'_>) {
    world.door = match input.byte() % 6 {
        0 => Door::Refused(RefuseCode(input.byte() % 4), input.duration()),
        1 => Door::Key { fits: false },
        2 | 3 => Door::Key { fits: true },
        _ => Door::Open,
    };
}
