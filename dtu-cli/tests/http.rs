//! The HTTP API of `dtu serve`, over a real gateway with real devices.
#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect fails")]

#[path = "http/client.rs"]
mod client;
mod support;

use client::{Answer, Api};
use dtu_proto::Message;
use dtu_proto::checksum::{Algorithm, catalogue};
use dtu_proto::hex::Hex;
use dtu_proto::message::{Data, kind};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::process::{Command, Stdio};
use std::sync::mpsc::Receiver;
use std::time::SystemTime;
use support::peer::{Peer, data, frame, register};
use support::{Process, dtu, fails_with_one_line, lines, write_private};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A gateway with both kinds of listeners and the API.
struct World {
    serve: Process,
    native: String,
    transparent: String,
    api: Api,
    /// Its lines are read, so that it goes on.
    _lines: Receiver<String>,
}

impl World {
    fn new(args: &[&str]) -> Self {
        let addrs = ["--listen", "127.0.0.1:0", "--transparent", "127.0.0.1:0", "--http", "127.0.0.1:0"];
        let mut serve =
            Process::spawn(dtu(&["serve"]).args(addrs).args(["--profile", "plain"]).args(args).stdout(Stdio::piped()));
        let lines = lines(serve.stdout());
        let last = |line: &str| line.rsplit_once(' ').unwrap().1.to_owned();
        let transparent = last(&serve.says("transparent DTUs on ").0);
        let native = last(&serve.says("listening on ").0);
        let api = Api::new(last(&serve.says("HTTP on ").0).strip_prefix("http://").unwrap());
        Self { serve, native, transparent, api, _lines: lines }
    }

    /// Units that play meters, all of them identified.
    fn units(&self, count: usize) -> Process {
        let sim = Process::spawn(
            dtu(&["sim", &self.transparent, "--profile", "plain", "--devices", &count.to_string(), "--late", "0"])
                .args(["--heartbeat", "3600", "--seed", "7"])
                .stdout(Stdio::null()),
        );
        self.api.until("/devices?limit=1", |list| list["total"].as_u64() >= Some(count as u64));
        sim
    }

    /// A native device that is let in.
    fn device(&self, id: &str) -> Peer {
        let mut peer = Peer::dial(&self.native);
        peer.send(&register(id));
        peer.payload_of(kind::WELCOME);
        self.api.until(&format!("/devices/{}", client::encoded(id)), |one| one["device"]["state"] == "connected");
        peer
    }
}

fn rtu(bytes: &[u8]) -> Vec<u8> {
    let crc = Algorithm::Crc(catalogue::CRC_16_MODBUS).checksum(bytes) as u16;
    [bytes, &crc.to_le_bytes()].concat()
}

/// The next DATA that is sent to a device: channel and body. It is acknowledged.
fn asked(peer: &mut Peer) -> (u8, Vec<u8>) {
    let payload = peer.payload_of(kind::DATA);
    let Ok(Message::Data(Data { seq, channel, body })) = Message::decode(&payload) else { panic!("{payload:02X?}") };
    peer.send(&frame(&Message::Ack { receive_next: seq + 1 }));
    (channel, body.to_vec())
}

#[test]
fn transparent_units_are_listed_asked_and_closed() {
    let world = World::new(&[]);
    let sim = world.units(3);
    let list = world.api.get("/devices").json();
    let ids: Vec<_> = list["devices"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["13900000000", "13900000001", "13900000002"]);
    assert_eq!((&list["total"], &list["next"]), (&3.into(), &Value::Null));
    let row = &list["devices"][1];
    assert_eq!(
        (&row["kind"], &row["state"], &row["connections"]),
        (&"transparent".into(), &"connected".into(), &1.into())
    );

    let answer = world.api.post("/devices/13900000001/request", &json!({ "hex": "02 03 002A 0001", "crc": true }));
    let reply = rtu(&[2, 3, 2, 4, 18]);
    assert_eq!((answer.status, &answer.json()["hex"]), (200, &Hex(&reply).to_string().into()), "{answer:?}");
    let base64 = json!({ "base64": "AgMAKgABpfE=", "timeout_ms": 5000 });
    assert_eq!(world.api.post("/devices/13900000001/request", &base64).json()["hex"], answer.json()["hex"]);
    let exception =
        world.api.post("/devices/13900000001/request", &json!({ "hex": "02 03 FFFF 0001", "crc": true })).json();
    assert_eq!((&exception["exception"], &exception["exception_text"]), (&2.into(), &"illegal data address".into()));

    let one = world.api.get("/devices/13900000001").json();
    let [.., reply, request] = &one["frames"].as_array().unwrap()[..] else { panic!("{one}") };
    assert_eq!((&reply["direction"], &request["direction"]), (&"up".into(), &"down".into()));
    let told = |frame: &Value| -> Vec<String> {
        let fields = frame["fields"].as_array().unwrap().iter();
        fields.map(|field| format!("{}={}", field["name"].as_str().unwrap(), field["text"].as_str().unwrap())).collect()
    };
    assert!(told(request).contains(&"first=42".to_owned()) && told(reply).contains(&"value=1042".to_owned()), "{one}");
    assert_eq!((&one["device"]["frames"], &one["timeline"][0]["event"]), (&3.into(), &"connected".into()));

    // Nobody has this address.
    let silent = world
        .api
        .post("/devices/13900000001/request", &json!({ "hex": "63 03 0000 0001", "crc": true, "timeout_ms": 50 }));
    assert_eq!((silent.status, silent.code()), (504, "timed_out".to_owned()));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
    let newest = world.api.get("/devices/13900000001").json()["frames"][0].clone();
    assert_eq!(newest["direction"], "down");
    assert!(u128::from(newest["at"].as_u64().unwrap()) <= now - 50, "it is told when it was sent");

    let closed = world.api.post("/devices/13900000001/close", &json!({ "reason": "test" }));
    assert_eq!((closed.status, &closed.json()["closed"]), (200, &true.into()));
    drop(sim);
}

#[test]
fn the_line_behind_a_native_device_is_asked() {
    let world = World::new(&[]);
    let mut peer = world.device("meter-7");
    let ask = |body: Value| {
        let api = world.api.clone();
        std::thread::spawn(move || api.post("/devices/meter-7/request", &body))
    };
    // Noise, the reply in two DATA, and what nobody asked for behind it.
    let asking = ask(json!({ "hex": "01 03 0000 0002", "crc": true, "channel": 1, "timeout_ms": 20_000 }));
    assert_eq!(asked(&mut peer), (1, rtu(&[1, 3, 0, 0, 0, 2])));
    let reply = rtu(&[1, 3, 4, 0, 10, 1, 0]);
    peer.send(&data(0, &[&[0xFF], &reply[..4]].concat()));
    peer.send(&data(1, &[&reply[4..], b"more"].concat()));
    let answer = asking.join().unwrap();
    assert_eq!((answer.status, &answer.json()["hex"]), (200, &Hex(&reply).to_string().into()), "{answer:?}");

    // Two at a time: the second is sent when the first has its reply.
    let first = ask(json!({ "hex": "01 03 0000 0001", "crc": true, "channel": 1, "timeout_ms": 20_000 }));
    assert_eq!(asked(&mut peer), (1, rtu(&[1, 3, 0, 0, 0, 1])));
    let second = ask(json!({ "hex": "01 04 0000 0001", "crc": true, "channel": 1, "timeout_ms": 20_000 }));
    peer.send(&data(2, &rtu(&[1, 3, 2, 0, 1])));
    assert_eq!(asked(&mut peer), (1, rtu(&[1, 4, 0, 0, 0, 1])));
    peer.send(&data(3, &rtu(&[1, 4, 2, 0, 2])));
    assert_eq!((first.join().unwrap().status, second.join().unwrap().status), (200, 200));

    // Another channel is another line, and its replies are its own.
    let other = ask(json!({ "hex": "01 03 0000 0001", "crc": true, "timeout_ms": 300 }));
    assert_eq!(asked(&mut peer), (0, rtu(&[1, 3, 0, 0, 0, 1])));
    peer.send(&data(4, &rtu(&[1, 3, 2, 0, 9])));
    assert_eq!(other.join().unwrap().code(), "timed_out");

    let one = world.api.get("/devices/meter-7").json();
    assert_eq!((&one["device"]["kind"], &one["device"]["frames"]), (&"native".into(), &5.into()), "{one}");
    let books = world.api.get("/sessions").json();
    assert_eq!((&books["sessions"][0]["receiving"]["data"], &books["total"]), (&5.into(), &1.into()), "{books}");
    assert_eq!(
        (&books["sessions"][0]["sending"]["taken"], &books["sessions"][0]["sending"]["acked"]),
        (&4.into(), &4.into())
    );

    // Away, a request waits; when the session is closed, it is over.
    drop(peer);
    world.api.until("/devices/meter-7", |one| one["device"]["state"] == "disconnected");
    let waiting = ask(json!({ "hex": "01 03 0000 0001", "crc": true, "channel": 1 }));
    let asked_now = |metrics: &str| metrics.contains("dtu_http_requests_total");
    assert!(asked_now(&world.api.get("/metrics").text()));
    // It waits for 30 s at least, so the close comes before that.
    let mut closed = world.api.post("/devices/meter-7/close", &json!({}));
    while closed.status != 200 {
        closed = world.api.post("/devices/meter-7/close", &json!({}));
    }
    let gone = waiting.join().unwrap();
    assert!(["line_gone", "unknown_device"].contains(&&*gone.code()), "{gone:?}");
    world.api.until("/devices", |list| list["total"] == 0);
}

#[test]
fn the_round_trip_of_a_native_device_is_measured_once_when_somebody_looks() {
    let world = World::new(&[]);
    let mut peer = world.device("meter-7");
    let ping = peer.payload_of(kind::PING);
    let Ok(Message::Ping { nonce }) = Message::decode(&ping) else { panic!("{ping:02X?}") };
    assert_eq!(world.api.get("/devices/meter-7").json()["device"]["rtt_ms"], Value::Null);
    peer.send(&frame(&Message::Pong { nonce }));
    world.api.until("/devices/meter-7", |one| one["device"]["rtt_ms"].as_f64().is_some_and(|rtt| rtt > 0.0));
    assert_eq!(world.api.get("/devices").json()["total"], 1);
    world.serve.signal(Signal::SIGTERM);
    let more = peer.rest();
    assert!(more.iter().all(|payload| payload[0] != kind::PING), "{more:02X?}");
}

#[test]
fn an_id_cannot_forge_a_line_of_the_log() {
    let world = World::new(&["--log-level", "info"]);
    let _device = world.device("meter\nforged \u{1b}[2J");
    let (line, _) = world.serve.says("forged");
    assert!(!line.contains('\u{1b}') && line.contains(r"meter\nforged"), "{line:?}");
}

#[test]
fn a_read_without_a_reply_is_asked_again_and_a_write_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("gateway.toml");
    let text = "[requests]\nretries = 1\nretry_after = '10ms'\n[[listener]]\nkind = 'native'\ntcp = '127.0.0.1:0'\n\
                [http]\nlisten = '127.0.0.1:0'\n";
    std::fs::write(&config, text).unwrap();
    let serve = Process::spawn(dtu(&["serve", "--config"]).arg(&config).stdout(Stdio::null()));
    let last = |line: &str| line.rsplit_once(' ').unwrap().1.to_owned();
    let native = last(&serve.says("listening on ").0);
    let api = Api::new(last(&serve.says("HTTP on ").0).strip_prefix("http://").unwrap());
    let mut peer = Peer::dial(&native);
    peer.send(&register("meter-7"));
    peer.payload_of(kind::WELCOME);
    api.until("/devices/meter-7", |one| one["device"]["state"] == "connected");
    let ask = |hex: &str, timeout_ms: u64| {
        let (api, body) = (api.clone(), json!({ "hex": hex, "crc": true, "channel": 1, "timeout_ms": timeout_ms }));
        std::thread::spawn(move || api.post("/devices/meter-7/request", &body))
    };
    let read = ask("01 03 0000 0001", 1500);
    assert_eq!(asked(&mut peer), asked(&mut peer), "the same again");
    peer.send(&data(0, &rtu(&[1, 3, 2, 0, 9])));
    let answer = read.join().unwrap();
    assert_eq!((answer.status, &answer.json()["attempts"]), (200, &2.into()), "{answer:?}");
    let write = ask("01 06 0000 0001", 50);
    assert_eq!(asked(&mut peer).1[1], 6);
    assert_eq!(write.join().unwrap().code(), "timed_out");
}

#[test]
fn who_hangs_up_wants_no_reply() {
    let world = World::new(&[]);
    let mut peer = world.device("meter-7");
    let body = r#"{"hex":"010300000002c40b","timeout_ms":600000}"#;
    let asking = world.api.begin("POST", "/devices/meter-7/request", &[("content-type", "application/json")], body);
    assert_eq!(asked(&mut peer).0, 0);
    drop(asking);
    world.api.until_text("/metrics", "dtu_requests_total{outcome=\"cancelled\"} 1");
}

#[test]
fn what_is_wrong_is_told_with_a_code() {
    let world = World::new(&[]);
    let _sim = world.units(1);
    let long = format!("{{\"hex\":\"{}\"}}", "00".repeat(20_000));
    let header = [("content-type", "application/json")];
    let cases: &[(&str, &str, &str, u16, &str)] = &[
        ("GET", "/nothing", "", 404, "not_found"),
        ("GET", "/devices/", "", 404, "not_found"),
        ("GET", "/devices/nobody", "", 404, "unknown_device"),
        ("GET", "/devices/%FF", "", 400, "bad_request"),
        ("GET", "/devices/..%2F..%2Fetc%2Fpasswd", "", 404, "unknown_device"),
        ("GET", "/devices/%3Cscript%3E", "", 404, "unknown_device"),
        ("GET", "/devices?limit=0", "", 400, "bad_request"),
        ("GET", "/devices?limit=1001", "", 400, "bad_request"),
        ("GET", "/devices?limit=many", "", 400, "bad_request"),
        ("GET", "/devices?colour=red", "", 400, "bad_request"),
        ("GET", "/devices?state=lost", "", 400, "bad_request"),
        ("DELETE", "/devices", "", 405, "method_not_allowed"),
        ("GET", "/devices/13900000000/request", "", 405, "method_not_allowed"),
        ("POST", "/health/live", "", 405, "method_not_allowed"),
        ("POST", "/devices/nobody/request", r#"{"hex":"01"}"#, 404, "unknown_device"),
        ("POST", "/devices/nobody/close", "{}", 404, "unknown_device"),
        ("POST", "/devices/13900000000/request", "", 400, "bad_request"),
        ("POST", "/devices/13900000000/request", "{", 400, "bad_request"),
        ("POST", "/devices/13900000000/request", "{}", 400, "bad_request"),
        ("POST", "/devices/13900000000/request", r#"{"hex":"01","base64":"AQ=="}"#, 400, "bad_request"),
        ("POST", "/devices/13900000000/request", r#"{"hex":"0x01"}"#, 400, "bad_request"),
        ("POST", "/devices/13900000000/request", r#"{"hex":"010300000002c40c"}"#, 400, "bad_request"),
        ("POST", "/devices/13900000000/request", r#"{"base64":"!"}"#, 400, "bad_request"),
        ("POST", "/devices/13900000000/request", r#"{"hex":"010300000002c40b","channel":1}"#, 400, "bad_request"),
        ("POST", "/devices/13900000000/request", r#"{"hex":"010300000002c40b","channel":256}"#, 400, "bad_request"),
        ("POST", "/devices/13900000000/request", r#"{"hex":"010300000002c40b","timeout_ms":0}"#, 400, "bad_request"),
        (
            "POST",
            "/devices/13900000000/request",
            r#"{"hex":"010300000002c40b","timeout_ms":600001}"#,
            400,
            "bad_request",
        ),
        ("POST", "/devices/13900000000/request", r#"{"hex":"010300000002c40b","colour":1}"#, 400, "bad_request"),
        ("POST", "/devices/13900000000/request", &long, 413, "too_large"),
        ("POST", "/devices/13900000000/close", r#"{"why":1}"#, 400, "bad_request"),
    ];
    for (method, path, body, status, code) in cases {
        let answer = world.api.send(method, path, &header, body);
        assert_eq!((answer.status, &*answer.code()), (*status, *code), "{method} {path} {body:.60}");
    }
    // What forms of other pages can send.
    for kind in ["text/plain", "application/x-www-form-urlencoded", ""] {
        let answer = world.api.send("POST", "/devices/13900000000/close", &[("content-type", kind)], "{}");
        assert_eq!((answer.status, &*answer.code()), (415, "unsupported_media_type"), "{kind}");
    }
    for (name, value) in [("host", "evil.example"), ("origin", "http://evil.example"), ("origin", "null")] {
        let answer = world.api.send("POST", "/devices/13900000000/close", &[(name, value)], "");
        assert_eq!((answer.status, &*answer.code()), (401, "unauthorized"), "{name}: {value}");
    }
    // What a page of another server has fetched or shown, and what one of this server and a person at the browser ask.
    for (site, status) in [("cross-site", 401), ("same-site", 401), ("same-origin", 200), ("none", 200)] {
        assert_eq!(world.api.send("GET", "/devices", &[("sec-fetch-site", site)], "").status, status, "{site}");
    }
    let wrong = world.api.send("PUT", "/devices", &[], "");
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("GET,HEAD")));
    // Headers without an end.
    let answer = world.api.send("GET", "/devices", &[("x-long", &"a".repeat(20_000))], "");
    assert!([400, 431].contains(&answer.status), "{answer:?}");
    // It goes on, and still has the device.
    assert_eq!(world.api.get("/devices/13900000000").json()["device"]["state"], "connected");
}

#[test]
fn the_token_is_asked_for_and_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = write_private(directory.path(), "token", &format!("{TOKEN}\n"));
    let world = World::new(&["--http-token-file", &path]);
    let bearer = |token: &str| format!("Bearer {token}");
    let status = |path: &str, token: &str| world.api.send("GET", path, &[("authorization", token)], "").status;
    for path in ["/devices", "/devices/a", "/sessions", "/counters", "/events", "/metrics", "/openapi.json", "/nothing"]
    {
        let answer = world.api.get(path);
        assert_eq!((answer.status, &*answer.code()), (401, "unauthorized"), "{path}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    }
    for path in ["/", "/app.js", "/app.css", "/health/live", "/health/ready"] {
        assert_eq!(world.api.get(path).status, 200, "{path}");
    }
    let wrong = [&TOKEN[1..], &format!("{TOKEN}0"), &TOKEN.replace('0', "1"), ""].map(bearer);
    for token in wrong.iter().map(String::as_str).chain([TOKEN, &format!("Basic {TOKEN}"), "Bearer"]) {
        assert_eq!(status("/devices", token), 401, "{token}");
    }
    assert_eq!(status("/devices", &bearer(TOKEN)), 200);
    // With a token it may be called what it likes.
    let named = [("authorization", &*bearer(TOKEN)), ("host", "gateway.example")];
    assert_eq!(world.api.send("GET", "/devices", &named, "").status, 200);

    let newer = "fedcba9876543210fedcba9876543210";
    write_private(directory.path(), "token", newer);
    world.serve.signal(Signal::SIGHUP);
    let (said, _) = world.serve.says("reloaded");
    assert!(said.contains("the token"), "{said}");
    assert_eq!((status("/devices", &bearer(TOKEN)), status("/devices", &bearer(newer))), (401, 200));
}

#[test]
fn an_address_for_others_needs_a_token() {
    let directory = tempfile::tempdir().unwrap();
    let serve = |args: &[&str]| {
        let mut command = dtu(&["serve", "--listen", "127.0.0.1:0"]);
        command.args(args);
        command
    };
    fails_with_one_line(&mut serve(&["--http", "0.0.0.0:0"]), "others could reach it, and there is no token");
    fails_with_one_line(&mut serve(&["--http", "[::]:0"]), "others could reach it, and there is no token");
    let short = write_private(directory.path(), "short", "secret\n");
    fails_with_one_line(&mut serve(&["--http", "127.0.0.1:0", "--http-token-file", &short]), "first line");
    fails_with_one_line(&mut serve(&["--http", "127.0.0.1:0", "--http-token-file", "/nowhere"]), "/nowhere");
}

#[test]
fn changes_are_told_as_they_come() {
    let world = World::new(&[]);
    let _one = world.device("one");
    let mut events = world.api.events("/events");
    assert_eq!(events.next_of("reset"), json!([]));
    let rows = events.next_of("devices");
    assert_eq!((&rows[0]["id"], rows.as_array().unwrap().len()), (&"one".into(), 1));
    let counters = events.next_of("gateway");
    assert_eq!((&counters["devices"]["connected"], &counters["ready"]), (&1.into(), &true.into()));

    let hostile = "<img src=x onerror=alert(1)>\u{1F600}\n\"";
    let mut two = world.device(hostile);
    two.send(&data(0, b"1234"));
    let mut row = json!(null);
    while row["bytes"] != 4 {
        row = events.next_of("devices")[0].clone();
    }
    assert_eq!((&row["id"], &row["frames"]), (&hostile.into(), &1.into()));
    assert_eq!(world.api.get(&format!("/devices?search={}", client::encoded("IMG SRC"))).json()["total"], 1);
    world.api.post(&format!("/devices/{}/close", client::encoded(hostile)), &json!({}));
    assert_eq!(events.next_of("gone"), json!([hostile]));
}

#[test]
fn streams_are_bounded() {
    let world = World::new(&[]);
    let streams: Vec<_> = (0..64).map(|_| world.api.events("/events")).collect();
    let answer = world.api.get("/events");
    assert_eq!((answer.status, &*answer.code()), (429, "full"));
    drop(streams);
    // It sees that they are gone when it writes to them next.
    world.api.until_status("/events", 200);
}

#[test]
fn the_list_comes_in_parts() {
    let world = World::new(&[]);
    let _devices: Vec<_> = (0..7).map(|number| world.device(&format!("d{number}"))).collect();
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let list = world.api.get(&format!("/devices?limit=3{after}")).json();
        assert_eq!(list["total"], 7);
        seen.extend(list["devices"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()));
        let Some(next) = list["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(seen, (0..7).map(|number| format!("d{number}")).collect::<Vec<_>>());
    assert_eq!(world.api.get("/devices?state=disconnected").json()["total"], 0);
    assert_eq!(world.api.get("/devices?state=connected&search=D3").json()["total"], 1);
}

#[test]
fn the_metrics_are_those_of_prometheus() {
    let world = World::new(&[]);
    let mut peer = world.device("one");
    peer.send(&data(0, b"1234"));
    world.api.until("/devices/one", |one| one["device"]["frames"] == 1);
    let text = world.api.get("/metrics").text();
    for line in [
        "dtu_build_info{version=\"0.1.0\"} 1",
        "dtu_devices{state=\"connected\"} 1",
        "dtu_devices{state=\"disconnected\"} 0",
        "dtu_device_frames_total{direction=\"up\"} 1",
        "dtu_device_bytes_total{direction=\"up\"} 4",
        "# TYPE dtu_http_requests_total counter",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
    assert!(!text.contains("one"), "no id is a label");
    let Ok(mut promtool) = Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).spawn() else {
        println!("not checked by promtool, which is not installed");
        return;
    };
    std::io::Write::write_all(&mut promtool.stdin.take().unwrap(), text.as_bytes()).unwrap();
    assert!(promtool.wait().unwrap().success());
}

#[test]
fn the_page_is_there_and_says_what_browsers_may_do() {
    let world = World::new(&[]);
    let page = world.api.get("/");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("x-frame-options", "DENY"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cache-control", "no-cache"),
    ] {
        assert_eq!(page.header(name), Some(value), "{name}");
    }
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'self'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert_eq!(world.api.get("/devices").header("cache-control"), Some("no-store"));
    assert_eq!(world.api.get("/devices").header("access-control-allow-origin"), None);
    let document = world.api.get("/openapi.json").json();
    assert!(document["paths"]["/devices/{id}/request"]["post"].is_object());
}

#[test]
fn draining_is_not_ready() {
    let world = World::new(&["--drain", "60"]);
    assert_eq!(world.api.get("/health/ready").json(), json!({ "ready": true, "reasons": [] }));
    let _device = world.device("one");
    world.serve.signal(Signal::SIGTERM);
    world.api.until_status("/health/ready", 503);
    let Answer { status, .. } = world.api.get("/health/live");
    assert_eq!(status, 200);
    assert_eq!(world.api.get("/health/ready").json()["reasons"], json!(["draining"]));
}
