//! One connection to a broker, and the task that keeps it alive while nothing is published.

use super::settings::Checked;
use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::v5::{PubAckReason, Publish};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, Incoming};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Something that the client has done, or that the broker has said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LineEvent {
    /// What was given to the client first, of what has no number so far, has left with this one.
    Sent(u16),
    /// The broker has judged what has this number.
    Acked(u16, PubAckReason),
    /// The connection is over.
    Over(String),
}

/// A connection that the broker has taken.
pub(super) struct Line {
    client: AsyncClient,
    events: mpsc::Receiver<LineEvent>,
    task: JoinHandle<()>,
    max_packet: Option<usize>,
    /// Something has been published on it.
    served: bool,
    /// Its end has been told.
    over: bool,
}

impl Line {
    /// Connects and logs in.
    pub(super) async fn dial(settings: &Checked) -> Result<Self, String> {
        let options = settings.options().map_err(|error| format!("{error:#}"))?;
        let places = usize::from(settings.in_flight);
        let (client, mut event_loop) = AsyncClient::new(options, places);
        let connack = async {
            loop {
                match event_loop.poll().await {
                    Ok(Event::Incoming(Incoming::ConnAck(connack))) => return Ok(connack),
                    Ok(_) => {}
                    Err(error) => return Err(words(&error)),
                }
            }
        };
        let silent = |_| format!("no connection within {}", settings.timeout);
        let connack = timeout(settings.timeout.0, connack).await.map_err(silent)??;
        let max_packet = connack.properties.and_then(|properties| properties.max_packet_size);
        // Each of what may be under way is sent and acknowledged; and one word at the end.
        let (told, events) = mpsc::channel(2 * places + 1);
        let task = tokio::spawn(carry(event_loop, told));
        let max_packet = max_packet.map(|most| usize::try_from(most).unwrap_or(usize::MAX));
        Ok(Self { client, events, task, max_packet, served: false, over: false })
    }

    /// The longest packet that the broker takes, in bytes.
    pub(super) const fn max_packet(&self) -> Option<usize> {
        self.max_packet
    }

    /// Whether it is known to be over.
    pub(super) fn is_over(&self) -> bool {
        self.over || self.task.is_finished()
    }

    /// Whether something was published on it before.
    pub(super) const fn has_served(&self) -> bool {
        self.served
    }

    /// Gives a packet to the client. There may be as many without a PUBACK as may be in flight.
    pub(super) fn publish(&mut self, publish: Publish) -> Result<(), String> {
        self.served = true;
        let topic = core::str::from_utf8(&publish.topic).expect("a topic is made of a string").to_owned();
        let given = self.client.try_publish(topic, publish.qos, publish.retain, publish.payload);
        given.map_err(|_| "the client has ended".into())
    }

    /// What happens next.
    pub(super) async fn next(&mut self) -> LineEvent {
        let event = self.events.recv().await;
        let event = event.unwrap_or_else(|| LineEvent::Over("the client has ended without a word".into()));
        self.over |= matches!(event, LineEvent::Over(_));
        event
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(mut event_loop: EventLoop, told: mpsc::Sender<LineEvent>) {
    loop {
        let (event, over) = match event_loop.poll().await {
            Ok(event) => (Some(event), None),
            Err(error) => (None, Some(words(&error))),
        };
        // The client does not give out what came right before an error, and there may be acknowledgements in it.
        let rest = over.iter().flat_map(|_| core::mem::take(&mut event_loop.state.events)).collect::<Vec<_>>();
        let happened = event.into_iter().chain(rest).filter_map(of_a_publish);
        for event in happened.chain(over.iter().cloned().map(LineEvent::Over)) {
            if told.send(event).await.is_err() {
                return;
            }
        }
        if over.is_some() {
            return;
        }
    }
}

fn of_a_publish(event: Event) -> Option<LineEvent> {
    match event {
        Event::Outgoing(Outgoing::Publish(id)) => Some(LineEvent::Sent(id)),
        Event::Incoming(Incoming::PubAck(ack)) => Some(LineEvent::Acked(ack.pkid, ack.reason)),
        Event::Outgoing(_) | Event::Incoming(_) => None,
    }
}

fn words(error: &ConnectionError) -> String {
    match error {
        ConnectionError::ConnectionRefused(code) => format!("it refused the connection: {code:?}"),
        ConnectionError::NotConnAck(_) => "it answered CONNECT with something else than CONNACK".into(),
        ConnectionError::MqttState(_)
        | ConnectionError::Timeout(_)
        | ConnectionError::Tls(_)
        | ConnectionError::Io(_)
        | ConnectionError::RequestsDone => error.to_string(),
    }
}
