//! Carries bytes between a line and a session, until one of them ends.

use super::line::{Down, Input, Line};
use anyhow::{anyhow, bail};
use bytes::Bytes;
use core::pin::Pin;
use core::time::Duration;
use dtu_net::Event;
use dtu_net::driver::TcpClient;
use dtu_proto::message::CloseCode;
use tokio::time::{Instant, timeout_at};

type Stop = Pin<Box<dyn Future<Output = ()> + Send>>;

pub(super) struct Carrier {
    client: TcpClient,
    line: Line,
    channel: u8,
    /// Read from the line and not yet in the session's hands.
    up: Option<Bytes>,
    /// From the server and not yet in the writer's hands.
    down: Option<Down>,
    /// Pieces read from the line, and how many of them the server took.
    taken: u64,
    acknowledged: u64,
    /// How the line ended: in order, or with an error to tell once what it gave before is acknowledged.
    ending: Option<anyhow::Result<()>>,
    stopping: bool,
}

enum Step {
    Nothing,
    Sent,
    Input(Option<Input>),
    Written(Option<anyhow::Result<u32>>),
    Event(Option<Event>),
    Stop,
}

impl Carrier {
    pub(super) const fn new(client: TcpClient, line: Line, channel: u8) -> Self {
        Self { client, line, channel, up: None, down: None, taken: 0, acknowledged: 0, ending: None, stopping: false }
    }

    /// Runs to the end and closes the session.
    ///
    /// # Errors
    ///
    /// Whatever ended it early, with the number of pieces that the server did not acknowledge.
    pub(super) async fn run(mut self, stop: &mut Stop, drain: Duration) -> anyhow::Result<()> {
        let outcome = self.carry(stop, drain).await;
        // What the reader had cut already is lost too.
        while let Ok(input) = self.line.input.try_recv() {
            self.taken += u64::from(matches!(input, Input::Piece(_)));
        }
        let (taken, left) = (self.taken, self.taken - self.acknowledged);
        let code = if outcome.is_ok() { CloseCode::DONE } else { CloseCode::GOING_DOWN };
        self.client.session().close(code, "");
        while self.client.next_event().await.is_some() {}
        self.client.shut_down().await;
        match outcome {
            Err(error) if left > 0 => Err(anyhow!("{error:#}; {left} of {taken} DATA not acknowledged")),
            outcome => outcome,
        }
    }

    /// Carries until the line has ended and everything is acknowledged, at most `drain` after its end.
    async fn carry(&mut self, stop: &mut Stop, drain: Duration) -> anyhow::Result<()> {
        self.welcomed(stop).await?;
        let mut deadline = None;
        loop {
            if self.ending.is_some() && self.acknowledged == self.taken {
                return self.ending.take().unwrap_or(Ok(()));
            }
            if self.ending.is_some() && deadline.is_none() {
                deadline = Some(Instant::now() + drain);
            }
            let step = match deadline {
                None => self.step(stop).await,
                Some(deadline) => match timeout_at(deadline, self.step(stop)).await {
                    Ok(step) => step,
                    Err(_) => {
                        self.ending.take().unwrap_or(Ok(()))?;
                        bail!("the line ended and the server was too slow with its acknowledgements ({drain:?})");
                    }
                },
            };
            self.take(step)?;
        }
    }

    /// Waits until the server has let this device in.
    async fn welcomed(&mut self, stop: &mut Stop) -> anyhow::Result<()> {
        loop {
            let event = tokio::select! {
                event = self.client.next_event() => event,
                () = &mut *stop => bail!("stopped before the server let this device in"),
            };
            match event {
                Some(Event::Welcomed { .. }) => return Ok(()),
                event => self.take(Step::Event(event))?,
            }
        }
    }

    /// Waits for what happens next. Loses nothing when it is dropped.
    async fn step(&mut self, stop: &mut Stop) -> Step {
        let Self { client, line, up, down, .. } = self;
        let session = client.session().clone();
        tokio::select! {
            // A session that takes nothing has ended, and its last event says why.
            _ = session.send(self.channel, up.clone().unwrap_or_default()), if up.is_some() => Step::Sent,
            input = line.input.recv(), if up.is_none() && self.ending.is_none() => Step::Input(input),
            permit = line.output.reserve(), if down.is_some() => {
                if let (Ok(permit), Some(down)) = (permit, down.take()) {
                    permit.send(down);
                }
                Step::Nothing
            }
            written = line.written.recv() => Step::Written(written),
            event = client.next_event(), if down.is_none() => Step::Event(event),
            () = stop, if !self.stopping => Step::Stop,
        }
    }

    fn take(&mut self, step: Step) -> anyhow::Result<()> {
        match step {
            Step::Nothing => {}
            Step::Sent => self.up = None,
            Step::Input(Some(Input::Piece(piece))) => {
                self.taken += 1;
                self.up = Some(piece);
            }
            Step::Input(Some(Input::Failed(error))) => self.ending = Some(Err(error)),
            Step::Input(None) => self.ending = Some(Ok(())),
            Step::Written(Some(written)) => self.client.session().commit(written?),
            Step::Written(None) => bail!("the writer of the line is gone"),
            Step::Event(Some(event)) => self.handle(event)?,
            Step::Event(None) => bail!("the session ended without a word"),
            Step::Stop => {
                self.stopping = true;
                self.line.stop.cancel();
            }
        }
        Ok(())
    }

    fn handle(&mut self, event: Event) -> anyhow::Result<()> {
        match event {
            Event::Data { seq, body, .. } => self.down = Some(Down { next: seq.wrapping_add(1), body }),
            Event::Skip { next } => self.down = Some(Down { next, body: Bytes::new() }),
            Event::Acked { count, .. } => self.acknowledged += u64::from(count),
            Event::Skipped { bytes, cause } => eprintln!("dtu: {bytes} bytes from the server skipped: {cause}"),
            Event::Closed { cause, reason, .. } if reason.is_empty() => bail!("session ended: {cause}"),
            Event::Closed { cause, reason, .. } => bail!("session ended: {cause} ({reason})"),
            Event::Register(_) | Event::Welcomed { .. } | _ => {}
        }
        Ok(())
    }
}
