//! Connections: how many, and how long each may take.

use super::stall::Stalling;
use axum::Router;
use core::convert::Infallible;
use core::time::Duration;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// How long a request line and its headers may take, and a connection may be idle between two requests.
const HEADERS: Duration = Duration::from_secs(15);

/// The longest request line with its headers, in bytes.
const HEADERS_MAX: usize = 16 * 1024;

/// The most headers.
const HEADERS_COUNT: usize = 64;

/// How long nothing is accepted when the system cannot.
const PAUSE: Duration = Duration::from_millis(100);

/// Answers on as many connections at a time, for ever. They end with the future.
pub(super) async fn accept(listener: TcpListener, routes: Router, connections: usize) -> Infallible {
    let (places, mut tasks) = (Arc::new(Semaphore::new(connections)), JoinSet::new());
    loop {
        let place = Arc::clone(&places).acquire_owned().await.expect("nobody closes it");
        while tasks.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let service = TowerToHyperService::new(routes.clone());
                tasks.spawn(async move {
                    // An event is small, and somebody waits for it.
                    let _still_works = stream.set_nodelay(true);
                    let connection = http1::Builder::new()
                        .timer(TokioTimer::new())
                        .header_read_timeout(HEADERS)
                        .max_buf_size(HEADERS_MAX)
                        .max_headers(HEADERS_COUNT)
                        .serve_connection(TokioIo::new(Stalling::new(stream)), service);
                    // Whoever hangs up or speaks no HTTP has his answer already, if there is one.
                    let _gone = connection.await;
                    drop(place);
                });
            }
            Err(_) => sleep(PAUSE).await,
        }
    }
}
