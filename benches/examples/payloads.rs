//! Puts one sensor reading into a DATA frame as a struct, as JSON and as Protobuf, prints the bytes, and measures.
//!
//! `cargo run --release -p dtu-benches --example payloads`; what to choose when is in `docs/payloads.md`.

use dtu_benches::contest::Job;
use dtu_benches::payloads::{GROUPS, encode, job, readings};
use dtu_benches::ratios::{Cost, Report};
use dtu_benches::reading::FORMATS;

fn main() {
    let reading = readings(1).remove(0);
    println!("{reading:?}\n");
    let mut report = Report::default();
    GROUPS.into_iter().map(job).for_each(|job: Job| report.measure(job));
    println!("{:<10} {:>10} {:>11} {:>12} {:>12}", "format", "body bytes", "frame bytes", "encode ns", "decode ns");
    for format in FORMATS {
        let (mut body, mut frame) = (Vec::new(), [0; 512]);
        let len = encode(format, &reading, &mut body, &mut frame);
        let [to, from] = GROUPS.map(|group| nanoseconds(&report.costs, group, format.name));
        println!("{:<10} {:>10} {len:>11} {to:>12.1} {from:>12.1}", format.name, body.len());
    }
    for format in FORMATS {
        let (mut body, mut frame) = (Vec::new(), [0; 512]);
        let len = encode(format, &reading, &mut body, &mut frame);
        println!("\n{}", format.name);
        for row in frame[..len].chunks(16) {
            let hex: Vec<String> = row.iter().map(|byte| format!("{byte:02X}")).collect();
            let text: String =
                row.iter().map(|&byte| if byte.is_ascii_graphic() { char::from(byte) } else { '.' }).collect();
            println!("  {:<48} {text}", hex.join(" "));
        }
    }
}

fn nanoseconds(costs: &[Cost], group: &str, name: &str) -> f64 {
    let cost = costs.iter().find(|cost| (cost.group, cost.name) == (group, name));
    cost.expect("each format is in both groups").nanoseconds
}
