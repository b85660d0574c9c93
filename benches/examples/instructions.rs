//! Decodes FRAMES frames of PAYLOAD bytes by PATH, PASSES times. For `benches/instructions.sh`, which counts instructions.

use bytes::Bytes;
use core::hint::black_box;
use dtu_benches::contest::Contestant;
use dtu_benches::decode::{DECLARED, Floor, chunk, deframe, parse_batch, walk};
use dtu_benches::stream::{Size, Stream};
use dtu_proto::checksum::Kernel;
use dtu_proto::{Deframer, Native};
use std::process::ExitCode;

const USAGE: &str = "usage: instructions parse|walk|declared|deframer|chunk|floor PAYLOAD FRAMES PASSES";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [path, payload, frames, passes] = args.as_slice() else {
        return refuse(USAGE);
    };
    let (Ok(payload), Ok(frames), Ok(passes)) = (payload.parse(), frames.parse(), passes.parse()) else {
        return refuse(USAGE);
    };
    let stream = Stream::with_count(Size::Bytes(payload), frames);
    let Some(mut contestant) = contestant(path, &stream) else {
        return refuse(USAGE);
    };
    for _ in 0..passes {
        let found = contestant.run().frames;
        if found != frames {
            return refuse(&format!("{found} frames came out instead of {frames}"));
        }
    }
    ExitCode::SUCCESS
}

fn contestant(path: &str, stream: &Stream) -> Option<Box<dyn Contestant>> {
    let (line, native) = (stream.native(), Native::new());
    Some(match path {
        "parse" => Box::new(move || parse_batch(Kernel::detect(), black_box(&line))),
        "walk" => Box::new(move || walk(&native, black_box(&line))),
        "declared" => Box::new(move || walk(black_box(&DECLARED), black_box(&line))),
        "deframer" => {
            let mut deframer = Deframer::new(native);
            Box::new(move || deframe(&mut deframer, black_box(&line)))
        }
        "chunk" => {
            let line = Bytes::from(line);
            Box::new(move || chunk(native, black_box(line.clone())))
        }
        "floor" => Box::new(Floor::new(stream, &line)),
        _ => return None,
    })
}

fn refuse(reason: &str) -> ExitCode {
    eprintln!("{reason}");
    ExitCode::FAILURE
}
