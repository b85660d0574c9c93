//! Messages and causes in words, for people.

use core::fmt;
use dtu_proto::Message;
use dtu_proto::hex::Hex;
use dtu_proto::message::{CloseCode, RefuseCode, Resume};

/// A message in one line without control characters.
pub(super) struct Words<'a>(pub(super) &'a Message<'a>);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())?;
        match self.0 {
            Message::Register(register) => {
                write!(f, " device {:?}", register.device_id.as_str())?;
                write!(f, ", version {}", register.version)?;
                if register.flags != 0 {
                    write!(f, ", flags {:#04x}", register.flags)?;
                }
                // A token can be a secret; its bytes are in the dump for who needs them.
                match register.token.as_bytes().len() {
                    0 => f.write_str(", no token")?,
                    len => write!(f, ", token of {}", Bytes(len))?,
                }
                resume(f, &register.resume)
            }
            Message::Welcome(welcome) => {
                write!(f, " heartbeat {} ms, window {}", welcome.heartbeat_ms, welcome.window)?;
                resume(f, &welcome.resume)
            }
            Message::Refuse(refuse) => {
                write!(f, " code {:#04x}", refuse.code.0)?;
                named(f, refuse_name(refuse.code))?;
                write!(f, ", retry after {} ms", refuse.retry_after_ms)?;
                reason(f, refuse.reason.as_str())
            }
            Message::Ping { nonce } | Message::Pong { nonce } => write!(f, " nonce {nonce:016x}"),
            Message::Data(data) => {
                write!(f, " seq {} channel {}, {}", data.seq, data.channel, Bytes(data.body.len()))
            }
            Message::Ack { receive_next } => write!(f, " of all below {receive_next}"),
            Message::Close(close) => {
                write!(f, " code {:#04x}", close.code.0)?;
                named(f, close_name(close.code))?;
                reason(f, close.reason.as_str())
            }
            Message::Challenge { nonce } => write!(f, " nonce {}", Hex(nonce)),
            Message::Proof { mac } => write!(f, " mac {}", Hex(mac)),
            Message::Skip { next } => write!(f, " of all below {next}"),
            Message::Unknown(unknown) => {
                write!(f, " kind {:#04x}, {}", unknown.kind(), Bytes(unknown.body().len()))
            }
            _ => Ok(()),
        }
    }
}

fn resume(f: &mut fmt::Formatter<'_>, resume: &Resume) -> fmt::Result {
    write!(f, ", stream {:016x} from {}", resume.stream, resume.send_base)?;
    match resume.peer_stream {
        0 => f.write_str(", remembers no peer"),
        peer => write!(f, ", remembers {peer:016x} up to {}", resume.receive_next),
    }
}

fn named(f: &mut fmt::Formatter<'_>, name: Option<&str>) -> fmt::Result {
    name.map_or(Ok(()), |name| write!(f, " ({name})"))
}

fn reason(f: &mut fmt::Formatter<'_>, reason: &str) -> fmt::Result {
    // Debug notation escapes what could play tricks on a terminal.
    if reason.is_empty() { Ok(()) } else { write!(f, ", {reason:?}") }
}

const fn refuse_name(code: RefuseCode) -> Option<&'static str> {
    match code {
        RefuseCode::PROTOCOL => Some("protocol"),
        RefuseCode::UNAUTHORIZED => Some("unauthorized"),
        RefuseCode::BUSY => Some("busy"),
        _ => None,
    }
}

const fn close_name(code: CloseCode) -> Option<&'static str> {
    match code {
        CloseCode::DONE => Some("done"),
        CloseCode::PROTOCOL => Some("protocol"),
        CloseCode::GOING_DOWN => Some("going down"),
        CloseCode::TIMED_OUT => Some("timed out"),
        CloseCode::REPLACED => Some("replaced"),
        _ => None,
    }
}

/// A number of bytes with its noun.
pub(super) struct Bytes<N>(pub(super) N);

impl<N: fmt::Display + PartialEq + From<u8>> fmt::Display for Bytes<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} byte{}", self.0, if self.0 == N::from(1) { "" } else { "s" })
    }
}

#[cfg(test)]
mod tests {
    use super::Words;
    use dtu_proto::Message;
    use dtu_proto::message::{Close, CloseCode, Data, Reason, Unknown};

    #[test]
    fn messages_read_as_operators_say_them() {
        let words = |message: Message<'_>| Words(&message).to_string();
        assert_eq!(words(Message::Data(Data { seq: 7, channel: 0, body: &[0; 9] })), "DATA seq 7 channel 0, 9 bytes");
        assert_eq!(words(Message::Ack { receive_next: 8 }), "ACK of all below 8");
        let unknown = Unknown::new(0x77, &[1]).expect("the kind is unknown");
        assert_eq!(words(Message::Unknown(unknown)), "UNKNOWN kind 0x77, 1 byte");
    }

    #[test]
    fn text_of_a_peer_cannot_drive_the_terminal() {
        let reason = Reason::new("\u{1b}[2J\n\u{202e}").expect("it is short enough");
        let close = Message::Close(Close { code: CloseCode::DONE, reason });
        assert_eq!(Words(&close).to_string(), r#"CLOSE code 0x00 (done), "\u{1b}[2J\n\u{202e}""#);
    }
}
