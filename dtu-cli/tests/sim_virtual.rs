//! `dtu sim --virtual` as a process: what it prints, that a seed repeats it, what the measures do to a small fleet, and bad
//! arguments.
#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect fails")]

mod support;

use serde_json::Value;
use std::process::Output;
use support::dtu;

/// 500 devices and a server that takes 25 of them a second: ideally all are back after 20 s.
const SMALL: [&str; 8] = ["--devices", "500", "--accept-rate", "25", "--outage", "20", "--seed", "7"];

/// The storm of the documentation, a twentieth of it: ideally all are back after 40 s.
const STORM: [&str; 8] = ["--devices", "2000", "--accept-rate", "50", "--outage", "60", "--seed", "1"];

fn sim(args: &[&[&str]]) -> Output {
    dtu(&["sim", "--virtual"]).args(args.iter().copied().flatten()).output().unwrap()
}

/// Runs it with `--json`: the last line.
fn result(args: &[&[&str]]) -> Value {
    let output = sim(&[&["--json"], &args.concat()]);
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).unwrap();
    serde_json::from_str(printed.lines().next_back().unwrap()).unwrap()
}

fn figure(result: &Value, name: &str) -> f64 {
    let place = format!("/{}", name.replace('.', "/"));
    result.pointer(&place).and_then(Value::as_f64).unwrap_or_else(|| panic!("{name} in {result}"))
}

#[test]
fn a_seed_repeats_every_event_and_another_one_does_not() {
    let [first, again, other] = [["--seed", "7"], ["--seed", "7"], ["--seed", "8"]]
        .map(|seed| result(&[&["--devices", "500", "--accept-rate", "25", "--outage", "20"], &seed]));
    for name in ["trace", "events", "recovery", "attempts", "refused", "registered", "simulated_seconds"] {
        assert_eq!(first[name], again[name], "{name}");
    }
    assert_ne!(first["trace"], other["trace"]);
    assert_eq!(first["trace"].as_str().map(str::len), Some(16));
}

#[test]
fn the_line_of_json_has_all_figures() {
    let result = result(&[&SMALL, &["--backlog", "100"]]);
    for (name, value) in [
        ("seed", 7.0),
        ("devices", 500.0),
        ("outage_seconds", 20.0),
        ("accept_rate", 25.0),
        ("backlog", 100.0),
        ("heartbeat_seconds", 30.0),
        ("ideal_seconds", 20.0),
        ("back", 500.0),
    ] {
        assert_eq!(figure(&result, name), value, "{name}");
    }
    assert_eq!(result["policy"], "dtu");
    for measure in ["cap", "queue_bound", "hints", "discard"] {
        assert_eq!(result[measure], true, "{measure}");
    }
    let times = ["p50", "p90", "p999", "all"].map(|share| figure(&result, &format!("recovery.{share}")));
    assert!(times.is_sorted() && times[0] > 5.0, "{times:?}");
    assert_eq!(figure(&result, "ratio"), times[2] / 20.0);
    assert_eq!(times[2], times[3], "99.9 % of 500 are all of them");
    let end = 30.0 + 15.0 + 20.0 + times[3] + 15.0;
    assert!(
        (figure(&result, "simulated_seconds") - end).abs() < 1e-6,
        "it ends when the last one has stayed: {result}"
    );
    let heard_of = figure(&result, "registered") - figure(&result, "wasted");
    assert_eq!(heard_of, 500.0, "every device was welcomed once");
    let (mean, p99, max) =
        (figure(&result, "attempts.mean"), figure(&result, "attempts.p99"), figure(&result, "attempts.max"));
    assert!(1.0 <= mean && mean <= p99 && p99 <= max, "{result}");
    assert!(figure(&result, "refused") > 100.0, "{result}");
    assert!(figure(&result, "registered") >= 500.0 && figure(&result, "longest_door_queue") > 1.0, "{result}");
    for name in ["discarded", "wasted", "syn_dropped", "ack_dropped", "longest_listen_queue"] {
        assert!(figure(&result, name) >= 0.0, "{name}");
    }
    for name in ["events", "simulated_seconds", "seconds", "speed"] {
        assert!(figure(&result, name) > 0.0, "{name}");
    }
}

#[test]
fn people_get_a_table() {
    let output = sim(&[&SMALL]);
    let printed = String::from_utf8(output.stdout).unwrap();
    for part in [
        "500 devices, 25 registrations/s, 20 s outage, backlog 4096, policy dtu, seed 7\n",
        "cap on, queue bound on, hints on, discard on\n",
        "  ideal                     20.0 s\n",
        "  back at the end           500\n",
    ] {
        assert!(printed.contains(part), "{part:?} in {printed}");
    }
}

#[test]
fn the_bound_brings_a_fleet_back_in_time_and_without_it_a_deep_backlog_does_not() {
    for backlog in ["50", "4096", "65535"] {
        let ratio = figure(&result(&[&STORM, &["--backlog", backlog]]), "ratio");
        assert!((1.0..1.10).contains(&ratio), "{ratio} with a backlog of {backlog}");
    }
    let without = result(&[&STORM, &["--backlog", "65535", "--queue-bound", "off", "--seconds", "120"]]);
    assert!(without["ratio"].as_f64().is_none_or(|ratio| ratio > 1.25), "{without}");
    assert!(figure(&without, "wasted") > 100.0, "it works for devices that have left: {without}");
}

#[test]
fn each_measure_changes_what_happens() {
    let all = result(&[&STORM, &["--seconds", "60"]]);
    for measure in ["--cap", "--queue-bound", "--hints"] {
        let without = result(&[&STORM, &["--seconds", "60", measure, "off"]]);
        assert_ne!(without["trace"], all["trace"], "{measure}");
    }
    // Nobody dies in a queue that is short; in a long one it is the discard that saves the work.
    let [with, without] = ["on", "off"].map(|discard| {
        result(&[&STORM, &["--backlog", "400", "--queue-bound", "off", "--seconds", "60", "--discard", discard]])
    });
    assert!(figure(&with, "discarded") > 0.0 && figure(&without, "discarded") == 0.0);
    assert!(figure(&without, "wasted") > figure(&with, "wasted"), "{with} {without}");
    // Without hints the last ones are late: they come by their own delays, and the server waits for them.
    let [with, without] = ["on", "off"].map(|hints| figure(&result(&[&STORM, &["--hints", hints]]), "ratio"));
    assert!(without > with + 0.1, "{with} and {without}");
}

#[test]
fn the_delays_of_others_run() {
    let mut traces = Vec::new();
    for policy in ["dtu", "async-nats", "rumqttc-sleep-1s", "grpc", "aws-full-jitter"] {
        let result = result(&[&SMALL, &["--policy", policy, "--seconds", "200"]]);
        assert_eq!(result["policy"], policy);
        assert!(figure(&result, "back") >= 400.0, "{policy}: {result}");
        traces.push(result["trace"].clone());
    }
    traces.sort_by_key(Value::to_string);
    traces.dedup();
    assert_eq!(traces.len(), 5, "no two are the same");
}

#[test]
fn several_seeds_tell_the_worst() {
    let seeds = result(&[&SMALL, &["--seeds", "3"]]);
    let runs = seeds["runs"].as_array().unwrap();
    assert_eq!((runs.len(), &seeds["seeds"]), (3, &Value::from(3)));
    let mut ratios: Vec<f64> = runs.iter().map(|run| figure(run, "ratio")).collect();
    assert_eq!(figure(&runs[1], "seed"), 8.0);
    ratios.sort_by(f64::total_cmp);
    assert_eq!(["best_ratio", "median_ratio", "worst_ratio"].map(|name| figure(&seeds, name))[..], ratios);
    let printed = sim(&[&SMALL, &["--seeds", "2"]]).stdout;
    assert!(String::from_utf8(printed).unwrap().contains("the worst of 2 seeds"));
}

#[test]
fn a_run_goes_on_for_as_long_as_it_is_told() {
    let result = result(&[&SMALL, &["--seconds", "300"]]);
    // The fleet connects within one heartbeat, and holds for 15 s.
    assert_eq!(figure(&result, "simulated_seconds"), 30.0 + 15.0 + 20.0 + 300.0);
    let heartbeats = 500.0 * 240.0 / 30.0;
    assert!(figure(&result, "events") > 3.0 * heartbeats, "PING, its arrival and that of PONG: {result}");
    let until_back = self::result(&[&SMALL]);
    for name in ["attempts", "registered", "recovery"] {
        assert_eq!(result[name], until_back[name], "{name}: everybody stays");
    }
}

#[test]
fn bad_arguments_are_told_by_name() {
    for (args, parts) in [
        (["--devices", "0"], ["--devices", "0"]),
        (["--accept-rate", "0"], ["--accept-rate", "0"]),
        (["--backlog", "0"], ["--backlog", "0"]),
        (["--outage", "0"], ["--outage", "0.001"]),
        (["--outage", "99999999"], ["--outage", "86400"]),
        (["--policy", "hope"], ["hope", "aws-full-jitter"]),
        (["--hints", "maybe"], ["--hints", "neither `on` nor `off`"]),
        (["--seeds", "0"], ["--seeds", "0"]),
        (["--seconds", "x"], ["--seconds", "x"]),
        (["--heartbeat", "86400"], ["--heartbeat", "3600"]),
        (["--heartbeat", "0.05"], ["--heartbeat", "0.1"]),
    ] {
        let output = sim(&[&args.map(|arg| arg)]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && output.stdout.is_empty(), "{args:?}: {said}");
        assert!(parts.iter().all(|part| said.contains(part)), "{args:?}: {said}");
    }
    let output = dtu(&["sim", "127.0.0.1:1", "--accept-rate", "5"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("--accept-rate") && said.contains("HOST:PORT"), "{said}");
}
