//! `dtu demo`: its balance, and that a seed repeats it.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that meets what it does not expect fails"
)]

mod support;

use serde_json::Value;
use std::process::Stdio;
use support::dtu;

fn balance(args: &[&str]) -> Value {
    let output = dtu(&["demo", "--json"]).args(args).stderr(Stdio::inherit()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let balance: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert!(output.status.success(), "{balance}");
    balance
}

#[test]
fn every_intact_frame_is_delivered_once_and_nothing_else() {
    let balance = balance(&["--frames", "1500", "--devices", "4", "--rate", "0.4", "--seed", "11"]);
    assert_eq!(balance["sent"], 6000, "{balance}");
    assert_eq!(balance["delivered"], balance["intact"], "{balance}");
    for none in ["lost", "duplicated", "unexpected"] {
        assert_eq!(balance[none], 0, "{balance}");
    }
    for some in ["repeated", "skipped_bytes"] {
        assert!(balance[some].as_u64().unwrap() > 0, "{balance}");
    }
    assert!(balance["intact"].as_u64().unwrap() < 6000, "{balance}");
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_seed_another() {
    let run = |seed| {
        let mut balance = balance(&["--frames", "400", "--devices", "3", "--rate", "0.3", "--seed", seed]);
        balance.as_object_mut().unwrap().remove("seconds");
        balance
    };
    assert_eq!(run("5"), run("5"));
    assert_ne!(run("5")["damage"], run("6")["damage"]);
}

#[test]
fn a_run_by_the_clock_ends_and_balances() {
    let balance = balance(&["--seconds", "1", "--devices", "2"]);
    assert!(balance["sent"].as_u64().unwrap() > 0, "{balance}");
}

#[test]
fn bad_arguments_are_told() {
    for args in [&["--rate", "2"][..], &["--rate", "x"], &["--devices", "0"], &["--frames", "3", "--seconds", "1"]] {
        let status = dtu(&["demo"]).args(args).stderr(Stdio::null()).status().unwrap();
        assert_eq!(status.code(), Some(2), "{args:?}");
    }
}
