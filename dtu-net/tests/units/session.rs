//! Sessions with units, over their connections.

use super::rtu::{read, registers, write};
use super::{LONG, asking, config, expect, is_over, reach, serve, spec, unit};
use core::pin::pin;
use core::task::{Context, Waker};
use core::time::Duration;
use dtu_net::backoff::Backoff;
use dtu_net::driver::transparent::{TransparentServer, Unanswered};
use dtu_net::line::{Outcome, RequestError, Unsolicited};
use dtu_net::retry::Policy;
use dtu_net::transparent::{HeartbeatSpec, ReplySpec};
use dtu_net::{Cause, State};
use dtu_proto::message::CloseCode;
use tokio::io::AsyncWriteExt;
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn a_unit_is_asked_and_replies() {
    let mut spec = spec();
    spec.registration.reply = ReplySpec::Bytes("OK{id}".into());
    spec.heartbeat.push(HeartbeatSpec { token: "BEAT".into(), reply: ReplySpec::Echo });
    let mut server = serve(config(&spec));
    let mut unit = unit(&server, b"REG0001;").await;
    let session = server.accept().await.unwrap();
    let registered = session.last_heard().unwrap();
    assert_eq!(session.peer(), unit.local_addr().ok());
    assert_eq!((&**session.device(), session.registration().unwrap().as_bytes()), ("0001", &b"REG0001;"[..]));
    expect(&mut unit, b"OK0001").await;
    let asked = tokio::spawn({
        let session = session.clone();
        async move { session.request(asking(&read(1, 0, 1))).await }
    });
    expect(&mut unit, &read(1, 0, 1)).await;
    unit.write_all(b"BEAT").await.unwrap();
    for byte in registers(1, &[7]) {
        unit.write_all(&[byte]).await.unwrap();
    }
    let reply = asked.await.unwrap().unwrap();
    assert_eq!((&reply.frame.as_bytes()[..], reply.attempts), (&registers(1, &[7])[..], 1));
    expect(&mut unit, b"BEAT").await;
    unit.write_all(&registers(9, &[1])).await.unwrap();
    let heard = session.recv().await.unwrap();
    assert_eq!((&heard.frame.as_bytes()[..], heard.kind), (&registers(9, &[1])[..], Unsolicited::Idle));
    assert_eq!(session.try_recv(), None);
    let sent = session.send(b"raw").await.unwrap();
    expect(&mut unit, b"raw").await;
    assert_eq!(sent.await, Outcome::Sent);
    assert_eq!((session.ledger().replied, session.ledger().sent, session.counters().heartbeats), (1, 1, 1));
    assert_eq!(session.line_counters().idle, 1);
    let heard = session.last_heard().unwrap();
    assert!(heard > registered);
    drop(unit);
    reach(&session, State::Disconnected, 1).await;
    assert_eq!(session.last_heard(), Some(heard), "the end of a connection is no byte");
}

#[tokio::test]
async fn a_session_goes_on_when_its_unit_comes_again() {
    let mut limits = dtu_net::line::LineLimits::default();
    limits.quarantine = Duration::from_millis(1);
    let mut config = config(&spec());
    config.profile = config.profile.line_limits(limits);
    let mut server = serve(config);
    let mut first = unit(&server, b"REG0001;").await;
    let session = server.accept().await.unwrap();
    let again = Policy::new(Backoff::fixed(Duration::from_millis(1)).max_attempts(3)).idempotent();
    let lost = session.try_request(asking(&write(1, 2, 3)).timeout(Duration::from_millis(1))).unwrap();
    let waits = session.try_request(asking(&read(1, 0, 1)).policy(again)).unwrap();
    expect(&mut first, &write(1, 2, 3)).await;
    let mut second = unit(&server, b"REG0001;").await;
    assert!(is_over(&mut first).await);
    reach(&session, State::Connected, 2).await;
    assert!(matches!(lost.await, Outcome::LineGone | Outcome::TimedOut { attempts: 1 }));
    expect(&mut second, &read(1, 0, 1)).await;
    drop(second);
    reach(&session, State::Disconnected, 2).await;
    assert_eq!(session.state().cause, Some(Cause::Disconnected));
    let mut third = unit(&server, b"REG0001;").await;
    reach(&session, State::Connected, 3).await;
    // It was on the line, and may be repeated.
    session.try_request(asking(&read(9, 0, 1))).map(drop).unwrap();
    assert!(session.cancel(waits.id()));
    assert_eq!(waits.await, Outcome::Cancelled);
    third.write_all(&registers(5, &[1])).await.unwrap();
    assert_eq!(session.recv().await.unwrap().epoch.number(), 3);
    assert_eq!((server.counters().sessions, session.counters().connections), (1, 3));
    assert_eq!((session.counters().replaced, session.peer()), (1, third.local_addr().ok()));
}

#[tokio::test]
async fn a_request_whose_future_is_dropped_is_cancelled_and_a_send_puts_nothing_in() {
    let mut limits = dtu_net::line::LineLimits::default();
    limits.queue = 2;
    let mut config = config(&spec());
    config.profile = config.profile.line_limits(limits);
    let mut server = serve(config);
    let mut unit = unit(&server, b"REG0001;").await;
    let session = server.accept().await.unwrap();
    {
        let mut asked = pin!(session.request(asking(&read(1, 0, 1))));
        assert!(asked.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        expect(&mut unit, &read(1, 0, 1)).await;
    }
    assert_eq!((session.ledger().cancelled, session.ledger().pending), (1, 0));
    let (first, _second) = (session.try_send(b"1").unwrap(), session.try_send(b"2").unwrap());
    assert_eq!(
        session.request(asking(&read(1, 0, 1))).await,
        Err(Unanswered::Refused(RequestError::Full { limit: 2 }))
    );
    {
        let mut waits = pin!(session.send(b"3"));
        assert!(waits.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    assert_eq!(session.ledger().asked, 4);
    let mut waits = pin!(session.send(b"4"));
    assert!(waits.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert!(session.cancel(first.id()));
    waits.await.map(drop).unwrap();
    assert!(pin!(session.recv()).poll(&mut Context::from_waker(Waker::noop())).is_pending());
    unit.write_all(&registers(1, &[7])).await.unwrap();
    assert!(matches!(session.recv().await.unwrap().kind, Unsolicited::Late { .. }));
}

#[tokio::test]
async fn a_closed_session_ends_everything_and_a_new_one_takes_its_place() {
    let mut server = serve(config(&spec()));
    let mut first = unit(&server, b"REG0001;").await;
    let session = server.accept().await.unwrap();
    let ticket = session.try_request(asking(&read(1, 0, 1))).unwrap();
    expect(&mut first, &read(1, 0, 1)).await;
    session.close(CloseCode::DONE);
    assert_eq!(session.closed().await.cause, Some(Cause::Closed(CloseCode::DONE)));
    assert_eq!(ticket.await, Outcome::LineGone);
    assert_eq!(session.recv().await, None);
    assert_eq!(session.try_send(b"x").unwrap_err(), RequestError::Closed);
    assert!(is_over(&mut first).await);
    let _second = unit(&server, b"REG0001;").await;
    let again = server.accept().await.unwrap();
    assert_eq!(again.state().state, State::Connected);
    // Who drops the last hand closes the session.
    let (mut watch, clone) = (again.watch(), again.clone());
    drop(again);
    assert_eq!(clone.state().state, State::Connected);
    drop(clone);
    assert_eq!(watch.changed().await.state, State::Closed);
}

#[tokio::test]
async fn the_end_of_the_server_is_the_end_of_its_sessions_and_connections() {
    let mut server = serve(config(&spec()));
    let mut unit = unit(&server, b"REG0001;").await;
    let mut stranger = super::unit(&server, b"").await;
    let session = server.accept().await.unwrap();
    server.shut_down().await;
    assert_eq!(session.closed().await.state, State::Closed);
    assert!(is_over(&mut unit).await && is_over(&mut stranger).await);
}

#[tokio::test(start_paused = true)]
async fn a_silent_unit_is_let_go_of_and_forgotten_in_the_end() {
    let mut spec = spec();
    (spec.idle_ms, spec.retention_ms) = (60_000, 120_000);
    let mut server = serve(config(&spec));
    let mut unit = unit(&server, b"REG0001;").await;
    let session = server.accept().await.unwrap();
    let limit = Duration::from_secs(60);
    reach(&session, State::Disconnected, 1).await;
    assert_eq!(session.state().cause, Some(Cause::Silent { limit }));
    assert!(is_over(&mut unit).await);
    assert_eq!(session.closed().await.cause, Some(Cause::Away { limit: 2 * limit }));
    tokio::time::sleep(2 * dtu_net::driver::server::SWEEP).await;
    assert_eq!(server.counters().sessions, 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_nobody_answers_times_out() {
    let mut server = serve(config(&spec()));
    let _unit = unit(&server, b"REG0001;").await;
    let session = server.accept().await.unwrap();
    let request = asking(&read(1, 0, 1)).timeout(Duration::from_secs(2)).deadline(LONG);
    assert_eq!(session.request(request).await, Err(Unanswered::TimedOut { attempts: 1 }));
    let broadcast = super::rtu::write(0, 1, 1);
    assert_eq!(session.request(asking(&broadcast).timeout(Duration::from_secs(1))).await, Err(Unanswered::NoReply));
}

#[tokio::test]
async fn a_server_that_is_dropped_or_cancelled_ends_everything_it_has_begun() {
    for is_dropped in [true, false] {
        let cancel = CancellationToken::new();
        let loopback = "127.0.0.1:0".parse().unwrap();
        let mut server = TransparentServer::bind(loopback, config(&spec()), cancel.clone()).unwrap();
        let mut unit = unit(&server, b"REG0001;").await;
        let mut stranger = super::unit(&server, b"REG").await;
        let session = server.accept().await.unwrap();
        let ticket = session.try_request(asking(&read(1, 0, 1))).unwrap();
        // One that was let in, and that nobody has accepted.
        let mut second = super::unit(&server, b"REG0002;").await;
        while server.counters().sessions < 2 {
            tokio::task::yield_now().await;
        }
        let server = if is_dropped {
            drop(server);
            None
        } else {
            cancel.cancel();
            Some(server)
        };
        assert_eq!(session.closed().await.state, State::Closed);
        assert_eq!(ticket.await, Outcome::LineGone);
        expect(&mut unit, &read(1, 0, 1)).await;
        assert!(is_over(&mut unit).await && is_over(&mut stranger).await && is_over(&mut second).await);
        drop((unit, stranger, second));
        // No task holds on to anything: the runtime has no more than this one.
        while tokio::runtime::Handle::current().metrics().num_alive_tasks() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(server.is_none_or(|server| server.counters().sessions == 0));
    }
}
