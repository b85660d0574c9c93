//! The native framing: decodes and encodes the frame of [`frame`](crate::frame).

use crate::checksum::{Batch, Crc32c, Kernel};
use crate::encode::{EncodeError, Envelope, Sink};
use crate::frame::{HEADER_LEN, MAGIC, MAX_PAYLOAD_LEN, OVERHEAD};
use crate::framing::{Examined, Framing, Malformed, Step, step_after};
use crate::parse;
use core::num::NonZeroUsize;
use memchr::memmem;
use nom::Needed;

/// The native framing with a receiver's limit and the checksum kernel of this machine. Cheap to copy.
///
/// # Examples
///
/// Encode a frame and get it back:
/// ```
/// use dtu_proto::{Native, Step};
/// use dtu_proto::framing::next_step;
///
/// let native = Native::new();
/// let mut frame = [0; 32];
/// let len = native.encode(b"21.5 C", &mut frame)?;
/// let Step::Frame(decoded) = next_step(&native, &frame[..len]) else { panic!("the frame is whole") };
/// assert_eq!(decoded.payload(), b"21.5 C");
/// # Ok::<(), dtu_proto::encode::EncodeError>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Native {
    max_payload: u16,
    pub(crate) kernel: Kernel,
}

impl Default for Native {
    fn default() -> Self {
        Self::new()
    }
}

impl Native {
    /// The framing that accepts every payload the length field can say, up to 65 535 bytes.
    #[must_use]
    pub fn new() -> Self {
        Self { max_payload: u16::MAX, kernel: Kernel::detect() }
    }

    /// The framing that accepts, and encodes, payloads of at most `max_payload` bytes.
    ///
    /// A header that asks for more is rejected before anything is awaited or allocated for it. The lower the limit,
    /// the less a hostile stream can cost: see "Cost" in `spec/frame.md`.
    #[must_use]
    pub fn with_max_payload(max_payload: u16) -> Self {
        Self { max_payload, ..Self::new() }
    }

    /// The longest payload accepted, in bytes.
    #[must_use]
    #[inline]
    pub fn max_payload(&self) -> usize {
        usize::from(self.max_payload)
    }

    /// What an unsuccessful parse of `candidate` means; the one place that reads nom's errors.
    #[inline(always)]
    fn judge<'a>(self, candidate: &[u8], error: nom::Err<Malformed>) -> Examined<'a> {
        match error {
            nom::Err::Incomplete(Needed::Size(at_least)) => Examined::NeedMore { at_least },
            nom::Err::Incomplete(Needed::Unknown) => Examined::NeedMore { at_least: NonZeroUsize::MIN },
            nom::Err::Error(cause) | nom::Err::Failure(cause) => {
                Examined::Rejected { cause, judged: self.judged(candidate, cause) }
            }
        }
    }

    #[cold]
    fn judged(self, candidate: &[u8], cause: Malformed) -> usize {
        //= spec/frame.md#R-2
        match cause {
            Malformed::Magic => candidate.len(),
            Malformed::LengthGuard { .. } | Malformed::OverLimit { .. } => HEADER_LEN,
            Malformed::Checksum { .. } => parse::header::<Malformed>(MAX_PAYLOAD_LEN)(candidate)
                .map_or(HEADER_LEN, |(_, length)| length.saturating_add(OVERHEAD)),
            // The parser gives no other.
            Malformed::Fill
            | Malformed::Length { .. }
            | Malformed::Marker { .. }
            | Malformed::Escape { .. }
            | Malformed::Unknown { .. }
            | Malformed::Abandoned { .. } => candidate.len(),
        }
    }
}

impl Framing for Native {
    #[inline]
    fn examine<'a>(&self, candidate: &'a [u8]) -> Examined<'a> {
        struct One<'a>(Native, &'a [u8]);
        impl<'a> Batch for One<'a> {
            type Output = Examined<'a>;
            #[inline(always)]
            fn run<C: Crc32c>(self, crc: C) -> Examined<'a> {
                match parse::frame::<C, Malformed>(self.0.max_payload(), crc)(self.1) {
                    Ok((_, frame)) => Examined::Frame(frame),
                    Err(error) => self.0.judge(self.1, error),
                }
            }
        }
        self.kernel.run(One(*self, candidate))
    }

    fn find_start(&self, bytes: &[u8]) -> usize {
        memmem::find(bytes, &MAGIC).unwrap_or_else(|| {
            let cut_off = usize::from(bytes.last() == Some(&MAGIC[0]));
            bytes.len().saturating_sub(cut_off)
        })
    }

    #[inline]
    fn max_frame_len(&self) -> usize {
        self.max_payload().saturating_add(OVERHEAD)
    }

    fn evidence(&self) -> u32 {
        // Magic, guard and checksum.
        16 + 16 + 32
    }

    /// Every byte of the header follows from the payload, so `header` says nothing.
    fn encode_into(&self, _: &[u8], payload: &[u8], sink: &mut dyn Sink) -> Result<(), EncodeError> {
        let Envelope { header, trailer } = self.envelope(payload)?;
        sink.put(&header);
        sink.put(payload);
        sink.put(&trailer);
        Ok(())
    }

    #[inline]
    fn walk<'a>(&self, bytes: &'a [u8], sink: impl FnMut(Step<'a>)) -> usize {
        struct All<'a, S>(Native, &'a [u8], S);
        impl<'a, S: FnMut(Step<'a>)> Batch for All<'a, S> {
            type Output = usize;
            #[inline(always)]
            fn run<C: Crc32c>(self, crc: C) -> usize {
                let Self(native, bytes, mut sink) = self;
                let frame = parse::frame::<C, Malformed>(native.max_payload(), crc);
                let mut rest = bytes;
                loop {
                    let step = match frame(rest) {
                        Ok((behind, frame)) => {
                            sink(Step::Frame(frame));
                            rest = behind;
                            continue;
                        }
                        Err(error) => step_after(&native, rest, native.judge(rest, error)),
                    };
                    sink(step);
                    match rest.get(step.covered()..) {
                        Some(behind) if step.covered() > 0 => rest = behind,
                        _ => return bytes.len().saturating_sub(rest.len()),
                    }
                }
            }
        }
        self.kernel.run(All(*self, bytes, sink))
    }
}
