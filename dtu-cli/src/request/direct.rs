//! A request by a command that is the server itself.

use super::ask::{Answer, Ask, Outcome, Repeats, put};
use super::profile::{Loaded, load};
use anyhow::Context;
use core::net::SocketAddr;
use core::time::Duration;
use dtu_net::driver::transparent::{TransparentConfig, TransparentServer};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How long the device has to come: the longest pause of a unit that dials again is some half a minute.
const ARRIVAL: Duration = Duration::from_mins(1);

/// Waits for the device, and asks it.
pub(super) async fn ask(listen: SocketAddr, profile: &str, ask: &Ask) -> anyhow::Result<Answer> {
    let Loaded { profile, replies } = load(profile)?;
    let mut stop = crate::stop::signal()?;
    let mut server = TransparentServer::bind(listen, TransparentConfig::new(profile), CancellationToken::new())
        .with_context(|| format!("cannot listen on {listen}"))?;
    eprintln!("listening on {}", server.local_addr());
    // Those that come besides are let in and left alone: their hands are dropped at the end.
    let mut others = Vec::new();
    let arrival = async {
        while let Some(session) = server.accept().await {
            if **session.device() == *ask.device {
                return Some(session);
            }
            others.push(session);
        }
        None
    };
    let session = tokio::select! {
        session = timeout(ARRIVAL, arrival) => session.unwrap_or(None),
        () = &mut stop => None,
    };
    let answer = match session {
        Some(session) => tokio::select! {
            answer = put(&session, replies, ask, Repeats::default()) => answer,
            () = &mut stop => Answer::failed(&ask.device, Outcome::LineGone, "interrupted"),
        },
        None => {
            let text = format!("it has not come; {} others have", others.len());
            Answer::failed(&ask.device, Outcome::UnknownDevice, text)
        }
    };
    drop(others);
    server.shut_down().await;
    Ok(answer)
}
