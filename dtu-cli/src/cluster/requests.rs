//! Requests to devices that another gateway has, by request and reply of NATS.

use super::Shared;
use super::bucket::Owner;
use super::key::Name;
use crate::request::ask::{ANSWER_MAX, Answer, Ask, Outcome};
use async_nats::client::RequestErrorKind;
use async_nats::jetstream::kv::Store;
use async_nats::{Message, Request};
use core::time::Duration;
use dtu_net::line::DEADLINE;
use futures_util::StreamExt;
use metrics::counter;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::time::sleep;

/// Requests of others that are under way at a time; the next ones are refused as full.
const ANSWERING: usize = 256;

/// The longest request, in bytes: the longest DATA in hex, and what stands around it.
const REQUEST_MAX: usize = 160 * 1024;

/// How long a gateway may take to say that it is there.
const THERE: Duration = Duration::from_secs(5);

/// How much longer another gateway may take than the request itself.
const GRACE: Duration = Duration::from_secs(5);

/// How often a request follows its device to another gateway. It was told nothing before.
const FOLLOW: usize = 3;

/// How long a subscription that ended is away.
const PAUSE: Duration = Duration::from_secs(1);

/// Answers the requests of other gateways until the cluster ends.
pub(super) async fn answer(shared: Arc<Shared>) {
    let subject = shared.subject(&shared.us);
    let places = Arc::new(Semaphore::new(ANSWERING));
    let answering = async {
        loop {
            // The client repeats it with each connection.
            let client = shared.connection.client();
            if let Ok(mut requests) = client.subscribe(subject.clone()).await {
                while let Some(request) = requests.next().await {
                    take(&shared, &places, request);
                }
            }
            sleep(PAUSE).await;
        }
    };
    let _ended = shared.ending.run_until_cancelled(answering).await;
}

fn take(shared: &Arc<Shared>, places: &Arc<Semaphore>, request: Message) {
    // A message without a way back is no request.
    let Some(reply) = request.reply.clone() else { return };
    let place = Arc::clone(places).try_acquire_owned();
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        let answer = match place {
            Ok(_place) => here(&shared, &request.payload).await,
            Err(_) => Answer::failed("", Outcome::Full, "the gateway has too many requests of others"),
        };
        let body = body(&shared, &answer);
        // Without NATS there is nobody to tell.
        let _away = shared.connection.client().publish(reply, body.into()).await;
    });
}

/// The answer in bytes that NATS takes.
fn body(shared: &Shared, answer: &Answer) -> Vec<u8> {
    let body = serde_json::to_vec(answer).unwrap_or_default();
    let max = shared.connection.client().max_payload();
    if body.len() <= max {
        return body;
    }
    let text = format!("the reply has {} bytes with what stands around it, and NATS takes {max}", body.len());
    serde_json::to_vec(&Answer::failed(&answer.device, Outcome::LineGone, text)).unwrap_or_default()
}

async fn here(shared: &Shared, payload: &[u8]) -> Answer {
    if payload.len() > REQUEST_MAX {
        return Answer::failed("", Outcome::BadRequest, format!("a request has at most {REQUEST_MAX} bytes"));
    }
    match serde_json::from_slice::<Ask>(payload) {
        Ok(ask) => shared.local.ask(ask).await,
        Err(error) => Answer::failed("", Outcome::BadRequest, error),
    }
}

/// Whether this run of a gateway is there.
pub(super) async fn is_there(shared: &Shared, owner: &Owner) -> bool {
    // It answers that this is no request.
    let request = Request::new().timeout(Some(THERE));
    shared.connection.client().send_request(shared.subject(owner), request).await.is_ok()
}

/// Puts a request to whoever has its device.
pub(super) async fn ask(shared: &Shared, ask: &Ask) -> Answer {
    let answer = follow(shared, ask).await;
    counter!("dtu_cluster_requests_total", "outcome" => answer.outcome.name()).increment(1);
    answer
}

async fn follow(shared: &Shared, ask: &Ask) -> Answer {
    let unknown = |text: &dyn core::fmt::Display| Answer::failed(&ask.device, Outcome::UnknownDevice, text);
    let bucket = shared.bucket().clone();
    // A request that waits for a connection would reach the device when nobody waits for it any more.
    let Some(bucket) = bucket.filter(|_| shared.connection.is_up()) else {
        return unknown(&"it is not at this gateway, and NATS is not reached to ask the others");
    };
    let payload = match serde_json::to_vec(ask) {
        Ok(payload) if payload.len() <= REQUEST_MAX => payload,
        Ok(_) => {
            return Answer::failed(&ask.device, Outcome::BadRequest, format!("it has more than {REQUEST_MAX} bytes"));
        }
        Err(error) => return Answer::failed(&ask.device, Outcome::BadRequest, error),
    };
    let mut asked: Option<(u64, Answer)> = None;
    for _ in 0..FOLLOW {
        let owner = match owner(&bucket, &ask.device).await {
            Ok(owner) => owner,
            Err(why) => return unknown(&why),
        };
        let Some((revision, owner)) = owner else { return unknown(&"no such device has come to any gateway") };
        match asked.take() {
            // It is where it was.
            Some((before, answer)) if before == revision => return answer,
            Some(_) | None => {}
        }
        if owner.instance == shared.us.instance {
            return unknown(&"no such device has come");
        }
        let answer = put(shared, &owner, ask, &payload).await;
        if answer.outcome != Outcome::UnknownDevice {
            return answer;
        }
        asked = Some((revision, answer));
    }
    asked.map_or_else(|| unknown(&"it goes from gateway to gateway"), |(_, answer)| answer)
}

/// Who has the device, and since which revision.
async fn owner(bucket: &Store, device: &str) -> Result<Option<(u64, Owner)>, String> {
    let entry = bucket.entry(Name::device_key(device)).await;
    let entry = entry.map_err(|error| format!("the bucket {} does not say who has it: {error}", bucket.name))?;
    Ok(entry.and_then(|entry| Some((entry.revision, Owner::of(&entry)?))))
}

async fn put(shared: &Shared, owner: &Owner, ask: &Ask, payload: &[u8]) -> Answer {
    let gateway = &owner.gateway;
    let failed = |outcome, text: String| Answer::failed(&ask.device, outcome, text);
    let patience = DEADLINE + Duration::from_millis(ask.timeout_ms) + GRACE;
    let request = Request::new().payload(payload.to_vec().into()).timeout(Some(patience));
    match shared.connection.client().send_request(shared.subject(owner), request).await {
        Ok(reply) if reply.payload.len() as u64 > ANSWER_MAX => {
            failed(Outcome::LineGone, format!("the gateway {gateway} answers with more than {ANSWER_MAX} bytes"))
        }
        Ok(reply) => match serde_json::from_slice::<Answer>(&reply.payload) {
            Ok(answer) => Answer { device: ask.device.clone(), ..answer },
            Err(error) => failed(Outcome::LineGone, format!("the gateway {gateway} does not answer as one: {error}")),
        },
        Err(error) => match error.kind() {
            RequestErrorKind::NoResponders => {
                failed(Outcome::UnknownDevice, format!("the gateway {gateway}, which had it, is gone"))
            }
            RequestErrorKind::InvalidSubject | RequestErrorKind::MaxPayloadExceeded => {
                failed(Outcome::BadRequest, format!("it does not go to the gateway {gateway}: {error}"))
            }
            RequestErrorKind::TimedOut | RequestErrorKind::Other => {
                failed(Outcome::LineGone, format!("the gateway {gateway} does not answer: {error}"))
            }
        },
    }
}
