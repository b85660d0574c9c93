//! The metrics of this process, for Prometheus.

use super::Shared;
use crate::fleet::Census;
use anyhow::Context;
use core::convert::Infallible;
use core::time::Duration;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::time::{MissedTickBehavior, interval};

/// How often what histograms have gathered is sorted in, so that nothing piles up while nobody asks.
const UPKEEP: Duration = Duration::from_secs(5);

/// The bounds of all histograms, in seconds: from a commit in memory to the longest a request may take.
const SECONDS: [f64; 15] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];

/// What a metric is.
#[derive(Clone, Copy)]
enum What {
    Counter,
    Gauge,
    Histogram,
}

/// Every metric of the gateway and of its sessions.
const TABLE: [(What, &str, &str); 52] = {
    use What::{Counter, Gauge, Histogram};
    [
        (Gauge, "dtu_build_info", "1, with the version of this gateway."),
        (Gauge, "dtu_devices", "Devices with a session, by state: connected or disconnected."),
        (
            Counter,
            "dtu_device_frames_total",
            "Frames that came from devices (up) and were sent to them as requests (down).",
        ),
        (Counter, "dtu_device_bytes_total", "The bytes of those frames."),
        (Counter, "dtu_requests_total", "Requests to the lines of devices that have reached their outcome."),
        (
            Histogram,
            "dtu_request_seconds",
            "From when a request was asked for to its reply, the wait for its turn in it.",
        ),
        (Counter, "dtu_http_requests_total", "Answers of the HTTP API, by route and status."),
        (Gauge, "dtu_http_streams", "Streams of events that are open."),
        (Gauge, "dtu_sink_up", "1 while the sink takes what it is given, 0 while it does not."),
        (Gauge, "dtu_sink_breaker_open", "1 while the breaker of the sink is open."),
        (Counter, "dtu_sink_records_total", "Records that the sink has for good."),
        (Counter, "dtu_sink_store_failures_total", "Batches that the sink did not take; each is repeated."),
        (Histogram, "dtu_sink_store_seconds", "How long the sink took for a batch."),
        (
            Counter,
            "dtu_sink_deleted_files_total",
            "Files of a file sink that were moved aside and are deleted by its bound.",
        ),
        (Counter, "dtu_sink_unmatched_records_total", "Records that an MQTT broker took, and nobody is subscribed to."),
        (Counter, "dtu_nats_duplicates_total", "Records that JetStream had already, and so has once."),
        (Gauge, "dtu_sink_queue_records", "Records that wait for the sinks."),
        (Gauge, "dtu_sink_queue_capacity", "How many may; then devices are not read."),
        (Gauge, "dtu_session_memory_bytes", "The bytes of DATA that all native sessions hold."),
        (Gauge, "dtu_session_memory_limit_bytes", "How many they may; then nobody else is taken."),
        (Gauge, "dtu_cluster_up", "1 while NATS is connected."),
        (Counter, "dtu_cluster_claims_total", "Claims of devices, by outcome."),
        (Counter, "dtu_cluster_let_go_total", "Devices that another gateway has taken over."),
        (Counter, "dtu_cluster_same_id_total", "Sightings of another gateway with the id of this one."),
        (Counter, "dtu_cluster_requests_total", "Requests that went over NATS, by outcome."),
        (Counter, "dtu_capture_packets_total", "Packets that were captured."),
        (Counter, "dtu_capture_dropped_packets_total", "Packets that were not captured, as the disk was behind."),
        (Counter, "dtu_config_reloads_total", "Reloads of the configuration, by outcome."),
        (Gauge, "dtu_sessions", "Sessions with native devices, also of those that are away."),
        (Gauge, "dtu_transparent_sessions", "Sessions with transparent DTUs, also of those that are away."),
        (Gauge, "dtu_transparent_memory_bytes", "The bytes that all sessions with transparent DTUs hold."),
        (Counter, "dtu_state_changes_total", "Changes of the state of a session, by state and cause."),
        (Counter, "dtu_connects_total", "Connections that were let in, by whether the session went on."),
        (Counter, "dtu_refused_total", "Connections that were not let in, by cause."),
        (Counter, "dtu_busy_total", "Connections that were refused for want of room, by the bound that they met."),
        (Counter, "dtu_accept_failures_total", "Connections that could not be accepted from the system."),
        (Counter, "dtu_skipped_bytes_total", "Bytes from devices that belonged to no frame, by cause."),
        (Counter, "dtu_datagrams_dropped_total", "Datagrams that did nothing, by cause."),
        (Counter, "dtu_data_settled_total", "DATA sent to devices that has reached its outcome."),
        (Counter, "dtu_unsolicited_frames_total", "Frames of transparent DTUs that no request waited for, by kind."),
        (Counter, "dtu_unit_heartbeats_total", "Heartbeats of transparent DTUs."),
        (Counter, "dtu_unit_frames_lost_total", "Frames of transparent DTUs that nobody took in time."),
        (
            Counter,
            "dtu_unit_requests_unsendable_total",
            "Requests that the envelope of a transparent DTU cannot carry.",
        ),
        (
            Counter,
            "dtu_unit_replies_dropped_total",
            "Answers to transparent DTUs that were not sent, as they take too little.",
        ),
        (Counter, "dtu_failover_total", "Changes from one endpoint to another, of a device."),
        (Counter, "dtu_failover_probes_total", "Probes of better endpoints, of a device."),
        (Counter, "dtu_lookup_failures_total", "Names that were not looked up, of a device."),
        (Counter, "dtu_heartbeat_learned_total", "Times that a device came to know its network better."),
        (Counter, "dtu_networks_forgotten_total", "Networks that a device has forgotten for want of room."),
        (Counter, "dtu_retry_jobs_total", "Jobs of the retry controller that have reached their outcome."),
        (Counter, "dtu_retry_attempts_total", "Attempts of such jobs."),
        (Counter, "dtu_retry_rejected_total", "Jobs that the retry controller did not take."),
    ]
};

/// From here on what is counted in this process is gathered. Call it before anything counts.
///
/// # Errors
/// When something else gathers already.
pub(crate) fn install() -> anyhow::Result<PrometheusHandle> {
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
        .context("the bounds of the histograms")?;
    let handle = builder.install_recorder().context("cannot gather metrics")?;
    for (what, name, text) in TABLE {
        match what {
            What::Counter => metrics::describe_counter!(name, text),
            What::Gauge => metrics::describe_gauge!(name, text),
            What::Histogram => metrics::describe_histogram!(name, text),
        }
    }
    metrics::gauge!("dtu_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Ok(handle)
}

/// Sorts in what histograms have gathered, for ever.
pub(super) async fn upkeep(handle: PrometheusHandle) -> Infallible {
    let mut ticks = interval(UPKEEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        handle.run_upkeep();
    }
}

/// All metrics as text, those that are looked up now among them.
pub(super) fn render(shared: &Shared) -> String {
    let Census { connected, disconnected } = shared.fleet.census();
    for (state, count) in [("connected", connected), ("disconnected", disconnected)] {
        metrics::gauge!("dtu_devices", "state" => state).set(u32::try_from(count).unwrap_or(u32::MAX));
    }
    shared.metrics.render()
}
