//! How long a Modbus PDU is: by its function, its direction and its counts.
//!
//! Source: MODBUS Application Protocol Specification V1.1b3.

use super::Direction;

/// The longest PDU, in bytes: 256 of a serial frame less address and CRC.
pub(super) const MAX_PDU_LEN: usize = 253;

/// Where the function stands in a PDU, and what follows it.
const READ_DEVICE_IDENTIFICATION: u8 = 0x2B;
const FIFO: u8 = 0x18;
/// The one kind of function 2B that is known: device identification. The other, CANopen, has lengths of its own.
const MEI_IDENTIFICATION: u8 = 0x0E;
/// Bytes of a reply to 2B/0E before its objects: function, kind, code, conformity, more, next, count.
const OBJECTS_AT: usize = 7;
/// Bytes of an object before its value: number and length.
const OBJECT_HEADER_LEN: usize = 2;

/// The length of a PDU in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    /// That is it.
    Known(usize),
    /// What counts has not come; it is no shorter than this.
    AtLeast(usize),
    /// Longer than a PDU can be, as the first `judged` bytes say.
    Over { length: usize, judged: usize },
    /// Nobody knows, as the first `judged` bytes say.
    Unknown { code: u32, judged: usize },
}

/// How the length follows from the function.
#[derive(Clone, Copy)]
struct Rule {
    /// The length, or what the count is added to. 0 when the function is not known.
    base: u8,
    /// Where the count of one byte stands; 0 when there is none.
    count_at: u8,
}

const UNKNOWN: Rule = Rule { base: 0, count_at: 0 };

const fn fixed(length: u8) -> Rule {
    Rule { base: length, count_at: 0 }
}

const fn counted(base: u8, count_at: u8) -> Rule {
    Rule { base, count_at }
}

static REQUESTS: [Rule; 256] = table(&[
    (0x01, fixed(5)),
    (0x02, fixed(5)),
    (0x03, fixed(5)),
    (0x04, fixed(5)),
    (0x05, fixed(5)),
    (0x06, fixed(5)),
    (0x07, fixed(1)),
    (0x08, fixed(5)),
    (0x0B, fixed(1)),
    (0x0C, fixed(1)),
    (0x0F, counted(6, 5)),
    (0x10, counted(6, 5)),
    (0x11, fixed(1)),
    (0x14, counted(2, 1)),
    (0x15, counted(2, 1)),
    (0x16, fixed(7)),
    (0x17, counted(10, 9)),
    (FIFO, fixed(3)),
    (READ_DEVICE_IDENTIFICATION, fixed(4)),
]);

static REPLIES: [Rule; 256] = exceptions(table(&[
    (0x01, counted(2, 1)),
    (0x02, counted(2, 1)),
    (0x03, counted(2, 1)),
    (0x04, counted(2, 1)),
    (0x05, fixed(5)),
    (0x06, fixed(5)),
    (0x07, fixed(2)),
    (0x08, fixed(5)),
    (0x0B, fixed(5)),
    (0x0C, counted(2, 1)),
    (0x0F, fixed(5)),
    (0x10, fixed(5)),
    (0x11, counted(2, 1)),
    (0x14, counted(2, 1)),
    (0x15, counted(2, 1)),
    (0x16, fixed(7)),
    (0x17, counted(2, 1)),
    // Its count has two bytes, and of a frame that fits the first is 0.
    (FIFO, counted(3, 2)),
    (READ_DEVICE_IDENTIFICATION, fixed(7)),
]));

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)] // evaluated at compile time
const fn table(rules: &[(u8, Rule)]) -> [Rule; 256] {
    let mut table = [UNKNOWN; 256];
    let mut at = 0;
    while at < rules.len() {
        table[rules[at].0 as usize] = rules[at].1;
        at += 1;
    }
    table
}

/// Every function with its highest bit set is an exception: the function and a code.
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)] // evaluated at compile time
const fn exceptions(mut table: [Rule; 256]) -> [Rule; 256] {
    let mut function = 0x81;
    while function < 0x100 {
        table[function] = fixed(2);
        function += 1;
    }
    table
}

#[inline(always)]
#[allow(clippy::indexing_slicing)] // a u8 is below 256
fn rule(direction: Direction, function: u8) -> Rule {
    match direction {
        Direction::Down => REQUESTS[usize::from(function)],
        Direction::Up => REPLIES[usize::from(function)],
    }
}

/// Whether the length of PDUs of `function` is known.
#[inline]
pub(super) fn is_known(direction: Direction, function: u8) -> bool {
    rule(direction, function).base > 0
}

/// The length of the PDU at the front of `bytes`.
#[inline(always)]
pub(super) fn pdu_len(direction: Direction, bytes: &[u8]) -> Length {
    let Some(&function) = bytes.first() else { return Length::AtLeast(1) };
    let rule = rule(direction, function);
    if matches!(function, FIFO | READ_DEVICE_IDENTIFICATION) {
        return special_len(direction, function, bytes);
    }
    let base = usize::from(rule.base);
    match rule.count_at {
        0 if base == 0 => Length::Unknown { code: function.into(), judged: 1 },
        0 => Length::Known(base),
        count_at => match bytes.get(usize::from(count_at)) {
            Some(&count) => within(base.saturating_add(count.into()), usize::from(count_at).saturating_add(1)),
            None => Length::AtLeast(base),
        },
    }
}

const fn within(length: usize, judged: usize) -> Length {
    if length > MAX_PDU_LEN { Length::Over { length, judged } } else { Length::Known(length) }
}

/// The two functions that a table does not describe.
#[cold]
fn special_len(direction: Direction, function: u8, bytes: &[u8]) -> Length {
    let base = rule(direction, function).base.into();
    if function == FIFO {
        return match (direction, bytes) {
            (Direction::Down, _) => Length::Known(base),
            (Direction::Up, [_, high, low, ..]) => {
                within(base.saturating_add(u16::from_be_bytes([*high, *low]).into()), 3)
            }
            (Direction::Up, _) => Length::AtLeast(base),
        };
    }
    match (direction, bytes.get(1)) {
        (_, None) => Length::AtLeast(base),
        (_, Some(&kind)) if kind != MEI_IDENTIFICATION => {
            Length::Unknown { code: u16::from_be_bytes([function, kind]).into(), judged: 2 }
        }
        (Direction::Down, _) => Length::Known(base),
        (Direction::Up, _) => identification_len(bytes),
    }
}

/// The length of a reply to 2B/0E: its objects say it one by one.
fn identification_len(bytes: &[u8]) -> Length {
    let Some(&count) = bytes.get(OBJECTS_AT.saturating_sub(1)) else { return Length::AtLeast(OBJECTS_AT) };
    // The end of the objects looked at, and the judged bytes that say so.
    let (mut end, mut judged) = (OBJECTS_AT, OBJECTS_AT);
    for left in (0..=usize::from(count)).rev() {
        // Every object that is left has a header at least.
        let at_least = end.saturating_add(left.saturating_mul(OBJECT_HEADER_LEN));
        if at_least > MAX_PDU_LEN {
            return Length::Over { length: at_least, judged };
        }
        if left > 0 {
            judged = end.saturating_add(OBJECT_HEADER_LEN);
            let Some(&length) = bytes.get(judged.saturating_sub(1)) else { return Length::AtLeast(at_least) };
            end = judged.saturating_add(length.into());
        }
    }
    Length::Known(end)
}
