//! `dtu demo`: its balance over links that break, and that a seed repeats its content.
#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect fails")]

mod support;

use serde_json::Value;
use std::process::Stdio;
use support::dtu;

/// Runs the demo, which must succeed.
fn balance(args: &[&str]) -> Value {
    let output = dtu(&["demo", "--json"]).args(args).stderr(Stdio::inherit()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let balance: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert!(output.status.success(), "{balance}");
    balance
}

/// Asserts that nothing is wrong, with figures of the balance itself.
fn assert_balanced(balance: &Value, sent: Option<u64>) {
    if let Some(sent) = sent {
        assert_eq!(balance["sent"], sent, "{balance}");
    }
    for all in ["acked", "delivered"] {
        assert_eq!(balance[all], balance["sent"], "{balance}");
    }
    for none in ["expired", "refused", "abandoned", "lost", "duplicated", "unexpected", "out_of_order", "ledgers_off"] {
        assert_eq!(balance[none], 0, "{none} in {balance}");
    }
}

#[test]
fn links_that_break_lose_nothing_and_repeat_nothing() {
    let harm = ["--cut-every", "300ms", "--half-close", "2s", "--stall", "100ms", "--corrupt", "3e-4", "--seed", "11"];
    let balance = balance(&[&["--frames", "100", "--devices", "8", "--rate", "50"][..], &harm].concat());
    // Each device sends 100, and is sent one for four of them.
    assert_balanced(&balance, Some(8 * 125));
    let some = [&balance["reconnects"], &balance["proxy"]["cuts"], &balance["proxy"]["flipped_bits"]];
    assert!(some.iter().all(|figure| figure.as_u64().unwrap() > 0), "{balance}");
}

#[test]
fn the_same_seed_gives_the_same_content_over_any_links() {
    let content = |args: &[&str]| {
        let balance = balance(&[&["--frames", "40", "--devices", "3", "--rate", "200"], args].concat());
        assert_balanced(&balance, Some(3 * 50));
        balance["content"].clone()
    };
    let calm = content(&["--seed", "5", "--calm"]);
    assert_eq!(calm, content(&["--seed", "5", "--cut-every", "100ms", "--half-close", "0s"]));
    assert_ne!(calm, content(&["--seed", "6", "--calm"]));
}

#[test]
fn a_run_by_the_clock_ends_and_balances() {
    let balance = balance(&["--seconds", "1", "--devices", "2"]);
    assert_balanced(&balance, None);
    assert!(balance["sent"].as_u64().unwrap() > 0, "{balance}");
}

#[test]
fn datagrams_that_are_lost_doubled_and_overtaken_lose_and_repeat_nothing() {
    let harm = ["--cut-every", "1s", "--stall", "0s", "--loss", "0.05", "--duplicate", "0.05", "--reorder", "0.05"];
    let balance = balance(&[&["--udp", "--frames", "40", "--devices", "4", "--seed", "12"][..], &harm].concat());
    assert_balanced(&balance, Some(4 * 50));
    assert!(balance["proxy"]["cuts"].as_u64().unwrap() > 0, "{balance}");
}

#[test]
fn calm_links_are_not_broken() {
    let balance = balance(&["--frames", "20", "--devices", "2", "--rate", "100", "--calm"]);
    assert_balanced(&balance, Some(50));
    for none in ["cuts", "half_open", "stalls", "flipped_bits", "dropped_bytes"] {
        assert_eq!(balance["proxy"][none], 0, "{none} in {balance}");
    }
}

#[test]
fn an_interrupt_gives_the_balance() {
    let mut demo = dtu(&["demo", "--json", "--seconds", "3600", "--devices", "2"]);
    let demo = demo.stdout(Stdio::piped()).spawn().unwrap();
    let pid = nix::unistd::Pid::from_raw(i32::try_from(demo.id()).unwrap());
    // Until it listens for the signal, that ends it.
    while !listens_for_interrupt(demo.id()) {
        std::thread::yield_now();
    }
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    let output = demo.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(serde_json::from_str::<Value>(&text).unwrap()["seconds"].as_f64().unwrap() < 3600.0, "{text}");
}

/// Whether a process has a handler for SIGINT, by the mask that Linux shows.
fn listens_for_interrupt(process: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    u64::from_str_radix(mask.trim(), 16).unwrap() >> (nix::sys::signal::Signal::SIGINT as i32 - 1) & 1 == 1
}

#[test]
fn bad_arguments_are_told() {
    for args in [
        &["--rate", "0"][..],
        &["--rate", "x"],
        &["--devices", "0"],
        &["--frames", "3", "--seconds", "1"],
        &["--calm", "--corrupt", "0.1"],
        &["--corrupt", "2"],
        &["--cut-every", "2"],
    ] {
        let status = dtu(&["demo"]).args(args).stderr(Stdio::null()).status().unwrap();
        assert_eq!(status.code(), Some(2), "{args:?}");
    }
}
