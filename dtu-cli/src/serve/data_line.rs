//! The line of DATA. It is most of what a gateway writes, so it is written straight into the batch, without a serializer.

use crate::sink::Key;

/// Appends a line, without the line feed. `device` is the id as text of JSON, with its quotes.
pub(super) fn append(out: &mut Vec<u8>, time: &str, device: &[u8], key: Key, channel: u8, body: &[u8]) {
    out.extend_from_slice(br#"{"event":"data","time":""#);
    out.extend_from_slice(time.as_bytes());
    out.extend_from_slice(br#"","device":"#);
    out.extend_from_slice(device);
    out.extend_from_slice(br#","stream":""#);
    hex(out, &key.stream.to_be_bytes());
    out.extend_from_slice(br#"","seq":"#);
    number(out, key.seq);
    out.extend_from_slice(br#","channel":"#);
    number(out, channel.into());
    out.extend_from_slice(br#","body":""#);
    hex(out, body);
    out.extend_from_slice(br#""}"#);
}

/// Makes `out` the JSON text of a device id.
pub(super) fn text(id: &str, out: &mut Vec<u8>) {
    out.clear();
    serde_json::to_writer(out, id).expect("memory takes a text");
}

fn number(out: &mut Vec<u8>, mut number: u32) {
    // As many digits as the greatest has.
    let mut digits = [0; 10];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[first..]);
}

/// Appends lower-case hex text. Arithmetic instead of a table: the compiler makes vectors of it.
fn hex(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = out.len();
    out.resize(start + 2 * bytes.len(), 0);
    let digit = |nibble: u8| nibble + if nibble < 10 { b'0' } else { b'a' - 10 };
    for (pair, byte) in out[start..].as_chunks_mut::<2>().0.iter_mut().zip(bytes) {
        *pair = [digit(byte >> 4), digit(byte & 0x0F)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dtu_proto::hex::Hex;
    use serde::Serialize;

    #[derive(Serialize)]
    struct Line<'a> {
        event: &'static str,
        time: &'a str,
        device: &'a str,
        stream: String,
        seq: u32,
        channel: u8,
        body: Hex<'a>,
    }

    #[test]
    fn it_is_what_a_serializer_writes() {
        let body: Vec<u8> = (0..=255).collect();
        for (device, stream, seq, channel, len) in [
            ("meter-7", 0, 0, 0, 0),
            ("\"\\\u{1}\u{7f}\n\u{e9}\u{2028}</script>", u64::MAX, u32::MAX, 255, 256),
            ("a", 0xDF25_A158_3BAF_39E9, 10, 9, 1),
            ("b", 1, 99, 10, 33),
            ("c", 0xA000_0000_0000_0000, 1_000_000_000, 100, 64),
        ] {
            let (time, body) = ("2026-11-25T19:05:32.042Z", &body[..len]);
            let stamped =
                Line { event: "data", time, device, stream: format!("{stream:016x}"), seq, channel, body: Hex(body) };
            let (mut id, mut line) = (b"dirty".to_vec(), b"before".to_vec());
            text(device, &mut id);
            append(&mut line, time, &id, Key { stream, seq }, channel, body);
            assert_eq!(String::from_utf8(line).unwrap(), format!("before{}", serde_json::to_string(&stamped).unwrap()));
        }
    }
}
