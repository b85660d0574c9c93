//! Carries bytes between a line and a link, until one of them ends.

use super::line::{Down, Input, Line};
use super::server::Addrs;
use super::tell;
use anyhow::{Context, anyhow};
use bytes::Bytes;
use core::pin::Pin;
use core::time::Duration;
use dtu_net::driver::{Client, LinkEvent, Session};
use dtu_net::{Cause, Device, Event, Outgoing, Received, SendError, State};
use dtu_proto::message::CloseCode;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::time::{Instant, sleep_until, timeout_at};

type Stop = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How a line is carried.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) addrs: Addrs,
    pub(super) channel: u8,
    /// How long DATA is of use.
    pub(super) expire: Option<Duration>,
    /// How long the end waits for acknowledgements.
    pub(super) drain: Duration,
    /// The first loss of the link is the end, and so are as many failed tries as there are servers.
    pub(super) once: bool,
    /// What the link is closed with.
    pub(super) code: CloseCode,
}

/// What became of it all.
pub(super) struct Carried {
    /// How it ended: in order, or with an error.
    pub(super) outcome: anyhow::Result<()>,
    /// Pieces that were read from the line and never came into the outbox.
    pub(super) not_taken: u64,
}

pub(super) struct Carrier {
    session: Session<Device>,
    events: Receiver<LinkEvent>,
    line: Line,
    plan: Plan,
    /// The server of now.
    endpoint: usize,
    /// How often no server let the device in, in a row.
    failed: usize,
    /// Read from the line and not yet in the outbox.
    up: Option<Outgoing>,
    /// From the server and not yet in the writer's hands.
    down: Option<Down>,
    /// How the line ended.
    ending: Option<anyhow::Result<()>>,
    /// When the link is closed at the latest, once there is an end.
    deadline: Option<Instant>,
    /// The link takes no more.
    closing: bool,
    stopping: bool,
}

enum Step {
    Nothing,
    Sent(Result<(), SendError>),
    Input(Option<Input>),
    Written(Option<anyhow::Result<dtu_net::Mark>>),
    Received(Option<Received>),
    Event(Result<LinkEvent, RecvError>),
    Stop,
    Deadline,
}

impl Carrier {
    pub(super) fn new(client: &Client, line: Line, plan: Plan) -> Self {
        Self {
            session: client.session().clone(),
            events: client.events(),
            line,
            plan,
            endpoint: 0,
            failed: 0,
            up: None,
            down: None,
            ending: None,
            deadline: None,
            closing: false,
            stopping: false,
        }
    }

    /// Runs until the link is closed: because the line has ended and everything has its outcome or the time for that is
    /// over, or for another reason.
    pub(super) async fn run(mut self, stop: &mut Stop) -> Carried {
        let lost = loop {
            if self.ending.is_some() && self.up.is_none() && !self.closing {
                self.closing = true;
                self.session.close(self.plan.code, "", self.left());
            }
            let step = self.step(stop).await;
            if matches!(step, Step::Received(None) | Step::Deadline) {
                break None;
            }
            if let Err(error) = self.take(step) {
                break Some(error);
            }
        };
        self.session.close(self.plan.code, "", Duration::ZERO);
        let end = self.session.closed().await;
        self.tell_the_rest();
        let closed = match end.cause {
            Some(Cause::Closed(_)) => Ok(()),
            _ => Err(anyhow!("the link has ended: {}", tell::why(&end))),
        };
        // Where the line has ended, the books say whether that was too early.
        let outcome = lost.map_or_else(|| self.ending.take().unwrap_or(closed), Err);
        let mut not_taken = u64::from(self.up.is_some());
        while let Ok(input) = self.line.input.try_recv() {
            not_taken += u64::from(matches!(input, Input::Piece(_)));
        }
        self.finish_writing().await;
        Carried { outcome, not_taken }
    }

    fn tell_the_rest(&mut self) {
        loop {
            match self.events.try_recv() {
                Ok(event) => {
                    self.follow(&event);
                    tell::event(&self.plan.addrs, self.endpoint, &self.session, &event);
                }
                Err(TryRecvError::Lagged(count)) => self.missed(count),
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
        }
    }

    /// Writes what came down before the end. It is not acknowledged any more.
    async fn finish_writing(mut self) {
        let deadline = self.deadline.unwrap_or_else(|| Instant::now() + self.plan.drain);
        let Line { output, mut written, .. } = self.line;
        let rest = async move {
            if let Some(down) = self.down.take() {
                // A writer that has failed has told it.
                let _failed = output.send(down).await;
            }
            drop(output);
            while written.recv().await.is_some() {}
        };
        let _given_up = timeout_at(deadline, rest).await;
    }

    /// The time that is left for the end.
    fn left(&self) -> Duration {
        self.deadline.map_or(Duration::ZERO, |deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// The end begins: from now on there is a deadline.
    fn begin_end(&mut self) {
        let drain = self.plan.drain;
        self.deadline.get_or_insert_with(|| Instant::now() + drain);
    }

    /// Waits for what happens next. Loses nothing when it is dropped.
    async fn step(&mut self, stop: &mut Stop) -> Step {
        let Self { session, events, line, up, down, ending, closing, deadline, stopping, .. } = self;
        let outgoing = up.clone();
        tokio::select! {
            sent = async { session.send(outgoing.unwrap_or_else(|| Outgoing::new(0, Bytes::new()))).await },
                if up.is_some() && !*closing => Step::Sent(sent.map(drop)),
            input = line.input.recv(), if up.is_none() && ending.is_none() => Step::Input(input),
            permit = line.output.reserve(), if down.is_some() => {
                if let (Ok(permit), Some(down)) = (permit, down.take()) {
                    permit.send(down);
                }
                Step::Nothing
            }
            written = line.written.recv() => Step::Written(written),
            received = session.recv(), if down.is_none() => Step::Received(received),
            event = events.recv() => Step::Event(event),
            () = stop, if !*stopping => Step::Stop,
            () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => Step::Deadline,
        }
    }

    /// The error ends the link at once.
    fn take(&mut self, step: Step) -> anyhow::Result<()> {
        match step {
            Step::Nothing => {}
            // The ledger has what was refused.
            Step::Sent(Ok(()) | Err(SendError::Refused)) => self.up = None,
            // The link has closed, and its last event says why.
            Step::Sent(Err(SendError::Closed)) => self.closing = true,
            Step::Sent(Err(error)) => return Err(error).context("cannot put DATA into the outbox"),
            Step::Input(Some(Input::Piece(body))) => {
                let deadline = self.plan.expire.map(|expire| (Instant::now() + expire).into_std());
                self.up = Some(Outgoing { channel: self.plan.channel, body, deadline });
            }
            Step::Input(Some(Input::Failed(error))) => self.end(Err(error)),
            Step::Input(None) => self.end(Ok(())),
            Step::Written(Some(written)) => {
                // Only a server that has forgotten its stream makes this an error, and it does not wait for it.
                let _forgotten = self.session.commit(written?);
            }
            Step::Written(None) => anyhow::bail!("the writer of the line is gone"),
            Step::Received(Some(received)) => {
                let mark = received.mark();
                let body = match received {
                    Received::Data { body, .. } => body,
                    Received::Skip { from, next, .. } => {
                        eprintln!("dtu: the server says that its DATA {from} to {} do not come", next.wrapping_sub(1));
                        Bytes::new()
                    }
                };
                self.down = Some(Down { mark, body });
            }
            Step::Received(None) | Step::Deadline | Step::Event(Err(RecvError::Closed)) => {}
            Step::Event(Err(RecvError::Lagged(count))) => self.missed(count),
            Step::Event(Ok(event)) => return self.told(&event),
            Step::Stop => {
                self.stopping = true;
                self.line.stop.cancel();
                self.begin_end();
            }
        }
        Ok(())
    }

    fn end(&mut self, ending: anyhow::Result<()>) {
        self.ending = Some(ending);
        self.begin_end();
    }

    fn missed(&mut self, count: u64) {
        self.endpoint = self.session.endpoint();
        tell::missed(count);
    }

    /// Keeps up with which server it is, and how often none let the device in.
    fn follow(&mut self, event: &LinkEvent) {
        let LinkEvent::Link { event, .. } = event else { return };
        if let Event::Endpoint { index, .. } = event {
            self.endpoint = *index;
        }
        let Event::State(change) = event else { return };
        if change.state == State::Connected {
            // Its loss is the first of a link that was there.
            self.failed = self.plan.addrs.count();
        } else if change.state == State::Disconnected {
            let goes_back = matches!(change.cause, Some(Cause::MovedBack { .. }));
            self.failed = if goes_back { 0 } else { self.failed + 1 };
        }
    }

    fn told(&mut self, event: &LinkEvent) -> anyhow::Result<()> {
        self.follow(event);
        if let LinkEvent::Link { event: Event::State(change), .. } = event
            && change.state == State::Disconnected
            && self.plan.once
            && self.failed >= self.plan.addrs.count()
        {
            return Err(anyhow!(
                "{} is not reached, and --once asks for no second try: {}",
                self.plan.addrs.of(self.endpoint),
                tell::why(change)
            ));
        }
        tell::event(&self.plan.addrs, self.endpoint, &self.session, event);
        Ok(())
    }
}
