//! What a gateway would run, in words.

use crate::gateway::{NativePlan, Read};
use crate::settings::SinkKind;

/// A line each: listeners, what keeps what they get, the end.
pub(super) fn of(read: &Read) -> String {
    let mut lines: Vec<String> = read.plan.natives.iter().map(native).collect();
    for units in &read.plan.transparents {
        lines.push(format!("listens for transparent DTUs on {}, profile {}", units.addr, units.profile));
    }
    let settings = &read.settings;
    let sinks = settings.sinks.iter().map(|sink| match &sink.kind {
        SinkKind::Stdout => "stdout".to_owned(),
        SinkKind::File(file) => format!("the file {}", file.path.display()),
        SinkKind::Nats(nats) => format!("the stream {} of NATS", nats.stream),
        SinkKind::Mqtt(mqtt) => format!("{} ({}/...)", mqtt.broker, mqtt.prefix),
    });
    let sinks: Vec<_> = if settings.sinks.is_empty() { vec!["stdout".to_owned()] } else { sinks.collect() };
    lines.push(format!("keeps what they send in: {}", sinks.join(", ")));
    if let Some(capture) = &settings.capture {
        lines.push(format!("captures all of it in {}, at most {}", capture.dir.display(), capture.max_total_size));
    }
    if let Some(cluster) = &settings.cluster {
        lines.push(format!("shares its fleet as {} by the bucket {} of NATS", settings.gateway.id(), cluster.bucket));
    }
    if let Some(control) = settings.gateway.control {
        lines.push(format!("answers `dtu request` on {control}"));
    }
    if let Some(listen) = settings.http.listen {
        let who = if settings.http.token_file.is_some() { "with the token" } else { "on this machine" };
        lines.push(format!("answers HTTP on http://{listen}, for who is {who}"));
    }
    lines.push(format!("closes its sessions at the end over {}", settings.gateway.drain));
    lines.join("\n") + "\n"
}

fn native(plan: &NativePlan) -> String {
    let tcp = plan.listen.tcp.map(|tcp| format!("{tcp} ({})", if plan.has_tls() { "TLS" } else { "TCP" }));
    let udp = plan.listen.udp.map(|udp| format!("{udp} (UDP)"));
    let addrs: Vec<_> = tcp.into_iter().chain(udp).collect();
    let who = match plan.keys() {
        Some(1) => "1 device with a key".to_owned(),
        Some(count) => format!("{count} devices with keys"),
        None if plan.is_open() => "whoever comes".to_owned(),
        None => "whoever has a certificate".to_owned(),
    };
    format!("listens for native devices on {}: {who}", addrs.join(" and "))
}
