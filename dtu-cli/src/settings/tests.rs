use super::units::{Size, Span};
use super::*;
use core::time::Duration;
use std::collections::BTreeSet;

/// A listener, so that nothing else is wrong.
const LISTENER: &str = "[[listener]]\nkind = 'native'\ntcp = '127.0.0.1:0'\n";

fn parse(text: &str) -> Result<Settings, Vec<String>> {
    let read = Settings::parse(text, Path::new("/etc/dtu"));
    let read = read.and_then(|(settings, document, mistakes)| document.placed(mistakes).or(settings));
    read.map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect())
}

/// The example with every key that is commented out.
fn whole_example() -> String {
    let uncomment = |line: &str| match line.strip_prefix('#') {
        Some(key) if !key.is_empty() && !key.starts_with(' ') => key.to_owned(),
        _ => line.to_owned(),
    };
    EXAMPLE.lines().map(uncomment).collect::<Vec<_>>().join("\n")
}

/// The fields of a section, as its own error lists them.
fn fields(section: &str) -> BTreeSet<String> {
    let said = parse(&format!("{section}\nno_such_key = 1\n")).unwrap_err();
    let (line, allowed) = said
        .iter()
        .find_map(|line| Some((line, line.split_once("unknown field `no_such_key`")?.1)))
        .unwrap_or_else(|| panic!("{said:?}"));
    assert!(line.starts_with("line "), "{line}");
    allowed.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn the_example_is_a_file_and_says_the_defaults() {
    let settings = parse(EXAMPLE).unwrap();
    let defaults = Settings::default();
    assert_eq!(settings.gateway, defaults.gateway);
    assert_eq!(settings.limits, defaults.limits);
    assert_eq!(settings.requests, defaults.requests);
    assert_eq!(settings.http, defaults.http);
    assert_eq!(settings.log, defaults.log);
    assert_eq!(settings.listeners.len(), 2);
    let whole = parse(&whole_example()).unwrap();
    let Some(SinkKind::Nats(stream)) = whole.sinks.get(2).map(|sink| &sink.kind) else { panic!("{whole:?}") };
    let mut default: crate::sink::NatsSinkSettings = toml::from_str("").unwrap();
    (default.max_age, default.max_bytes) = (stream.max_age, stream.max_bytes);
    assert_eq!(*stream, default);
    let Some(SinkKind::Mqtt(mqtt)) = whole.sinks.get(3).map(|sink| &sink.kind) else { panic!("{whole:?}") };
    let default: crate::sink::MqttSettings = toml::from_str("broker = 'mqtt://a'").unwrap();
    assert_eq!((&mqtt.prefix, mqtt.in_flight, mqtt.timeout), (&default.prefix, default.in_flight, default.timeout));
    assert_eq!((mqtt.events, mqtt.retain), (default.events, default.retain));
    let capture = whole.capture.unwrap();
    let default = crate::capture::CaptureSettings {
        snap_length: capture.snap_length,
        ..crate::capture::CaptureSettings::new("/etc/dtu/capture".into())
    };
    assert_eq!(capture, default);
}

#[test]
fn the_example_has_every_key_and_none_that_is_none() {
    let whole = whole_example();
    parse(&whole).unwrap();
    let document = Document::new(&whole);
    let keys: BTreeSet<String> = document.keys().into_keys().collect();
    let in_section = |section: &str| -> BTreeSet<String> {
        keys.iter().filter_map(|key| key.strip_prefix(section)?.strip_prefix('.')).map(str::to_owned).collect()
    };
    for section in ["gateway", "limits", "requests", "http", "log"] {
        assert_eq!(in_section(section), fields(&format!("{LISTENER}[{section}]")), "{section}");
    }
    for (place, kind) in ["native", "transparent"].into_iter().enumerate() {
        let mut allowed = fields(&format!("[[listener]]\nkind = '{kind}'"));
        allowed.insert("kind".into());
        if allowed.remove("tls") {
            allowed.extend(fields(&format!("{LISTENER}[listener.tls]")).into_iter().map(|name| format!("tls.{name}")));
        }
        assert_eq!(in_section(&format!("listener[{place}]")), allowed, "{kind}");
    }
    for (place, kind) in ["stdout", "file", "nats", "mqtt"].into_iter().enumerate() {
        let said = format!("{LISTENER}[[sink]]\nkind = '{kind}'");
        let mut allowed = if kind == "stdout" { BTreeSet::new() } else { fields(&said) };
        allowed.insert("kind".into());
        if allowed.remove("tls") {
            let tls = fields(&format!("{said}\nbroker = 'mqtts://a'\n[sink.tls]"));
            allowed.extend(tls.into_iter().map(|name| format!("tls.{name}")));
        }
        assert_eq!(in_section(&format!("sink[{place}]")), allowed, "{kind}");
    }
    for section in ["cluster", "capture"] {
        assert_eq!(in_section(section), fields(&format!("{LISTENER}[{section}]")), "{section}");
    }
    let mut nats = fields(&format!("{LISTENER}[nats]"));
    assert!(nats.remove("tls"));
    nats.extend(fields(&format!("{LISTENER}[nats.tls]")).into_iter().map(|name| format!("tls.{name}")));
    assert_eq!(in_section("nats"), nats);
    for section in SECTIONS {
        assert!(keys.iter().any(|key| key.starts_with(section)), "{section}");
    }
}

#[test]
fn paths_are_relative_to_the_file_and_names_are_no_paths() {
    let settings = parse(
        "[[listener]]\nkind = 'native'\ntcp = '127.0.0.1:0'\nkeys = 'keys'\n\
         tls = { cert = 'c.pem', key = '/k.pem', client_ca = '../ca.pem' }\n\
         [[listener]]\nkind = 'transparent'\ntcp = '127.0.0.1:0'\nprofile = 'plain'\n\
         [[listener]]\nkind = 'transparent'\ntcp = '127.0.0.1:0'\nprofile = 'mine.toml'\n",
    )
    .unwrap();
    let [Way::Native(native), Way::Transparent(named), Way::Transparent(file)] =
        [0, 1, 2].map(|place: usize| settings.listeners[place].way.clone())
    else {
        panic!("{settings:?}")
    };
    let tls = native.tls.unwrap();
    assert_eq!(native.keys.unwrap(), Path::new("/etc/dtu/keys"));
    assert_eq!((tls.cert.as_path(), tls.key.as_path()), (Path::new("/etc/dtu/c.pem"), Path::new("/k.pem")));
    assert_eq!(tls.client_ca.unwrap(), Path::new("/etc/dtu/../ca.pem"));
    assert_eq!((named.profile.as_str(), file.profile.as_str()), ("plain", "/etc/dtu/mine.toml"));
}

#[test]
fn what_is_set_is_what_is_read() {
    let text = format!("{LISTENER}[limits]\nheartbeat = '1m 30s'\nmax_memory = '2GiB'\n[gateway]\ndrain = '10s'\n");
    let settings = parse(&text).unwrap();
    assert_eq!(settings.limits.heartbeat, Span(Duration::from_secs(90)));
    assert_eq!(settings.limits.max_memory, Size(2 << 30));
    assert_eq!(settings.gateway.drain, Span(Duration::from_secs(10)));
    assert_eq!(settings.limits.window, LimitSettings::default().window);
}

/// Each with all that is said of it.
#[test]
fn a_mistake_is_told_with_line_key_and_what_is_allowed() {
    let listener = |rest: &str| format!("[[listener]]\nkind = 'native'\n{rest}\n");
    let with = |rest: &str| format!("{LISTENER}{rest}\n");
    let cases: Vec<(String, &[&str])> = vec![
        (
            String::new(),
            &["line 1: listener: there is none, so no device could come; write [[listener]] with kind and tcp"],
        ),
        (
            "\nlistener = []".to_owned(),
            &["line 2: listener: there is none, so no device could come; write [[listener]] with kind and tcp"],
        ),
        (
            with("[gatewy]"),
            &[
                "line 4: gatewy: unknown section, expected one of `gateway`, `listener`, `limits`, `sink`, `nats`, `cluster`, `requests`, `http`, `capture`, `log`",
            ],
        ),
        (
            with("[gateway]\ncolour = 1"),
            &["line 5: gateway.colour: unknown field `colour`, expected one of `id`, `drain`, `control`"],
        ),
        (with("[gateway]\nid = ''"), &["line 5: gateway.id: a name has 1 to 64 bytes"]),
        (
            with("[gateway]\ndrain = 30"),
            &[
                "line 5: gateway.drain: invalid type: integer `30`, expected a time with its unit, as \"30s\", \"5m\" or \"250ms\"",
            ],
        ),
        (with("[gateway]\ndrain = '2h'"), &["line 5: gateway.drain: 2h is too long, expected \"0s\" to \"1h\""]),
        ("listener = 3".into(), &["line 1: listener: it is a list: write [[listener]]"]),
        ("listener = [3]".into(), &["line 1: listener[0]: it is a table: write [[listener]]"]),
        ("[listener]\nkind = 'native'".into(), &["line 1: listener: it is a list: write [[listener]]"]),
        (
            "[[listener]]\ntcp = '127.0.0.1:0'".into(),
            &["line 1: listener[0]: missing field `kind`, expected one of `native`, `transparent`"],
        ),
        (
            "[[listener]]\nkind = 'other'".into(),
            &["line 2: listener[0].kind: unknown kind `other`, expected one of `native`, `transparent`"],
        ),
        (
            "[[listener]]\nkind = 1".into(),
            &["line 2: listener[0].kind: invalid type: integer, expected one of `native`, `transparent`"],
        ),
        (
            listener(""),
            &["line 1: listener[0]: there is no address to listen on; write tcp or udp, as tcp = \"[::]:55125\""],
        ),
        (
            listener("tcp = ':55125'"),
            &["line 3: listener[0].tcp: `:55125` is no address to listen on; write an address and a port, as \
               \"127.0.0.1:55125\" or \"[::]:55125\""],
        ),
        (listener("tcp = '[::]:1'\ntls = { cert = 'c' }"), &["line 4: listener[0].tls: missing field `key`"]),
        (
            listener("tcp = '[::]:1'\nudp = '[::]:1'\ntls = { cert = 'c', key = 'k' }"),
            &[
                "line 4: listener[0].udp: TLS does not cover datagrams, so anybody could be any device there; write keys, or a \
               listener of its own for them",
            ],
        ),
        (
            listener("udp = '[::]:1'\nkeys = 'k'\ntls = { cert = 'c', key = 'k' }"),
            &["line 5: listener[0].tls: TLS is for connections, and there is no tcp"],
        ),
        (
            [listener("tcp = '127.0.0.1:7'"), listener("tcp = '[::]:7'")].concat(),
            &["line 6: listener[1].tcp: [::]:7 is taken by listener[0].tcp already"],
        ),
        (
            "[[listener]]\nkind = 'transparent'\ntcp = '127.0.0.1:7'".into(),
            &["line 1: listener[0]: missing field `profile`"],
        ),
        (with("[limits]\nwindow = 0"), &["line 5: limits.window: 0 is out of range, expected 1 to 65535"]),
        (
            with("[limits]\nwindow = 65536"),
            &["line 5: limits.window: invalid value: integer `65536`, expected a whole number from 0 to 65535"],
        ),
        (
            with("[limits]\nmax_payload = '64KiB'"),
            &["line 5: limits.max_payload: 64KiB is out of range, expected 512B to 65535B"],
        ),
        (
            with("[limits]\nheartbeat = '50ms'"),
            &["line 5: limits.heartbeat: 50ms is out of range, expected 100ms to 1day"],
        ),
        (
            with("[limits]\nmax_connections = 10\nmax_per_address = 11"),
            &["line 6: limits.max_per_address: 11 is more than max_connections, which is 10"],
        ),
        (with("[limits]\nresend = '2m'"), &["line 5: limits.resend: 2m is longer than resend_max, which is 1m"]),
        (
            with("[limits]\noutbox_full = 'drop'"),
            &[
                "line 5: limits.outbox_full: unknown variant `drop`, expected one of `wait`, `refuse_new`, `drop_oldest`",
            ],
        ),
        (
            with("[[sink]]\nkind = 'stdout'\npath = 'x'"),
            &["line 6: sink[0].path: unknown field `path`, there are no fields"],
        ),
        (
            with("[[sink]]\nkind = 'stdout'\n[[sink]]\nkind = 'stdout'"),
            &["line 6: sink[1]: there is a sink of kind `stdout` already"],
        ),
        (
            with("[[sink]]\nkind = 'kafka'"),
            &["line 5: sink[0].kind: unknown kind `kafka`, expected one of `stdout`, `file`, `nats`, `mqtt`"],
        ),
        (
            with("[[sink]]\nkind = 'file'\npath = 'd'\nkeep = 3\n[[sink]]\nkind = 'file'\npath = 'd'"),
            &[
                "line 7: sink[0].keep: without rotate_size or rotate_every there is but one file",
                "line 8: sink[1]: there is a sink with this path already",
            ],
        ),
        (
            with("[[sink]]\nkind = 'file'\npath = 'd'\nrotate_size = '1KiB'"),
            &["line 7: sink[0].rotate_size: 1KiB is too small; the least is 64KiB"],
        ),
        (
            with("[[sink]]\nkind = 'nats'\nmax_in_flight = 0"),
            &["line 6: sink[0].max_in_flight: 0 is not from 1 to 4096"],
        ),
        (
            with("[[sink]]\nkind = 'nats'"),
            &["line 4: sink[0]: it needs the section [nats], as servers = [\"nats://127.0.0.1:4222\"]"],
        ),
        (with("[cluster]\nreplicas = 9"), &["line 5: cluster.replicas: 9 is not from 1 to 5"]),
        (
            with("[cluster]"),
            &["line 4: cluster: it needs the section [nats], as servers = [\"nats://127.0.0.1:4222\"]"],
        ),
        (with("[nats]\nuser = 'x'"), &["line 4: nats: missing field `servers`"]),
        (
            with("[log]\nlevel = 'loud'"),
            &[
                "line 5: log.level: `loud` is no level; expected one of `off`, `error`, `warn`, `info`, `debug`, `trace`, or \
               levels by module, as \"warn,dtu_net=debug\"",
            ],
        ),
        (with("[log]\nformat = 'xml'"), &["line 5: log.format: unknown variant `xml`, expected `text` or `json`"]),
        ("[gateway]\nid = 'a'\nid = 'b'".into(), &["line 3: id: duplicate key"]),
    ];
    for (text, expected) in cases {
        let mut said = parse(&text).unwrap_err();
        let mut expected: Vec<_> = expected.to_vec();
        said.sort();
        expected.sort_unstable();
        assert_eq!(said, expected, "{text}");
    }
}

#[test]
fn all_mistakes_are_told_by_their_lines() {
    let text = "[limits]\nwindow = 'x'\nretention = 5\n[gateway]\nid = 7\nfoo = 1\n[[listener]]\nkind = 'x'\n[[listener]]\n\
                kind = 'native'\ntcp = 'y'\nudp = '127.0.0.1:1'\n[[listener]]\nkind = 'native'\nudp = '0.0.0.0:1'\n[foo]\n";
    let said = parse(text).unwrap_err();
    let lines: Vec<&str> = said.iter().map(|line| line.split(": ").nth(1).unwrap()).collect();
    let keys = [
        "limits.window",
        "limits.retention",
        "gateway.id",
        "gateway.foo",
        "listener[0].kind",
        "listener[1].tcp",
        "listener[2].udp",
        "foo",
    ];
    assert_eq!(lines, keys, "{said:#?}");
    let numbers: Vec<&str> = said.iter().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(
        numbers,
        ["line 2", "line 3", "line 5", "line 6", "line 8", "line 11", "line 15", "line 16"],
        "{said:#?}"
    );
}

#[test]
fn what_is_no_toml_is_told_with_its_line() {
    for (text, line) in [("[gateway\n", 1), ("a = \n", 1), ("[gateway]\nid = 'x\n", 2), ("a = 1 b = 2\n", 1)] {
        let said = parse(text).unwrap_err();
        assert!(!said.is_empty() && said[0].starts_with(&format!("line {line}: ")), "{text:?}: {said:?}");
    }
}

#[test]
fn two_listeners_share_a_port_where_the_system_lets_them() {
    for (one, other) in [("127.0.0.1:7", "127.0.0.2:7"), ("127.0.0.1:0", "127.0.0.1:0"), ("[::]:7", "127.0.0.1:8")] {
        let text = [one, other].map(|addr| format!("[[listener]]\nkind = 'native'\ntcp = '{addr}'\n")).concat();
        assert!(parse(&text).is_ok(), "{text}");
    }
    let both = "[[listener]]\nkind = 'native'\ntcp = '[::]:7'\nudp = '[::]:7'\n";
    assert!(parse(both).is_ok(), "TCP and UDP have ports of their own");
}
