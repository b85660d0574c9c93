//! What a registration looks like.

use super::error::Problem;
use super::text::{Part, parts};
use core::fmt;
use core::ops::Range;

/// The name of the place that says whose connection it is.
pub const ID: &str = "id";

/// The longest id, in characters; as in the sessions of native devices.
pub const ID_MAX: usize = 64;

/// The longest registration, in bytes.
pub const REGISTRATION_MAX: usize = 1024;

/// The bytes that may stand at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Digit,
    Hex,
    Alnum,
    Text,
    Any,
}

impl Class {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "digit" => Self::Digit,
            "hex" => Self::Hex,
            "alnum" => Self::Alnum,
            "text" => Self::Text,
            "any" => Self::Any,
            _ => return None,
        })
    }

    const fn has(self, byte: u8) -> bool {
        match self {
            Self::Digit => byte.is_ascii_digit(),
            Self::Hex => byte.is_ascii_hexdigit(),
            Self::Alnum => byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'),
            Self::Text => byte.is_ascii_graphic() || byte == b' ',
            Self::Any => true,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Element {
    Bytes(Box<[u8]>),
    Place { name: Box<str>, class: Class, least: usize, most: usize },
}

/// What a registration looks like: bytes, and places with names.
///
/// A place is `{name:class*count}`; the name can be left out. The count is a number, a range as `1..20`, or, left out with its
/// star, 1. Classes: `digit`, `hex`, `alnum` (with `-`, `_` and `.`), `text` (printable ASCII) and `any`. Bytes are written as text with
/// the escapes `\r`, `\n`, `\t`, `\\`, `\{`, `\}` and `\x7B`.
///
/// A place of changing length ends where the bytes behind it stand first; the last one ends at the first byte that is not of its class, or when
/// the line falls silent. So a registration is found the same however its bytes come, in time linear in its length, and what
/// a regular expression would take too early, the first digits of an id, is waited for.
///
/// The place `id` says whose connection it is: as text, or as hex digits where its class is `any`.
///
/// # Examples
///
/// ```
/// use dtu_net::transparent::{Found, Pattern};
///
/// let pattern = Pattern::new(r"REG:{id:digit*11},{rssi:digit*1..3}\r\n")?;
/// assert_eq!(pattern.at_front(b"REG:13800138000,2", false), Found::NeedMore);
/// let Found::Whole(found) = pattern.at_front(b"REG:13800138000,21\r\n\x01\x03", false) else { panic!("it is there") };
/// assert_eq!((found.len(), found.id()), (20, "13800138000"));
/// assert_eq!(found.place("rssi"), Some(&b"21"[..]));
/// # Ok::<(), dtu_net::transparent::Problem>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    elements: Vec<Element>,
}

/// Whether a registration stands at the front of some bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// It does.
    Whole(Captures),
    /// More bytes can make it one.
    NeedMore,
    /// It does not.
    None,
}

/// A registration that came.
#[derive(Clone, PartialEq, Eq)]
pub struct Captures {
    bytes: Box<[u8]>,
    places: Vec<(Box<str>, Range<usize>)>,
    id: Box<str>,
}

impl fmt::Debug for Captures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Captures").field("id", &self.id).field("bytes", &self.bytes.escape_ascii().to_string()).finish()
    }
}

impl Captures {
    /// The whole registration as it came.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its length in bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it has no bytes, which no registration has.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Who the device says it is.
    #[must_use]
    pub const fn id(&self) -> &str {
        &self.id
    }

    /// What stands at the place of this name.
    #[must_use]
    pub fn place(&self, name: &str) -> Option<&[u8]> {
        let (_, range) = self.places.iter().find(|(known, _)| **known == *name)?;
        self.bytes.get(range.clone())
    }

    /// The places in their order, with their names.
    pub fn places(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.places.iter().map(|(name, range)| (&**name, self.bytes.get(range.clone()).unwrap_or_default()))
    }
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// [`Problem`]: what is malformed, has no id, or could not be bounded.
    pub fn new(text: &str) -> Result<Self, Problem> {
        let mut elements: Vec<Element> = Vec::new();
        let mut open = None;
        for part in parts(text)? {
            match part {
                Part::Bytes(bytes) => {
                    open = None;
                    elements.push(Element::Bytes(bytes.into()));
                }
                Part::Place { inside, at } => {
                    if let Some(at) = open {
                        return Err(Problem::OpenEnd { at });
                    }
                    let place = place(inside).ok_or(Problem::Place { at })?;
                    if let Element::Place { name, least, most, .. } = &place {
                        if !name.is_empty() && elements.iter().any(|other| other.name() == Some(name)) {
                            return Err(Problem::NameTwice { at });
                        }
                        open = (least != most).then_some(at);
                    }
                    elements.push(place);
                }
            }
        }
        let pattern = Self { elements };
        let len = pattern.max_len();
        if len > REGISTRATION_MAX {
            return Err(Problem::TooLong { len, limit: REGISTRATION_MAX });
        }
        let Some(Element::Place { class, most, .. }) = pattern.elements.iter().find(|place| place.name() == Some(ID))
        else {
            return Err(Problem::NoId);
        };
        let len = if *class == Class::Any { most * 2 } else { *most };
        if len > ID_MAX { Err(Problem::TooLong { len, limit: ID_MAX }) } else { Ok(pattern) }
    }

    /// The length of the longest registration, in bytes.
    #[must_use]
    pub fn max_len(&self) -> usize {
        let lens = self.elements.iter().map(|element| match element {
            Element::Bytes(bytes) => bytes.len(),
            Element::Place { most, .. } => *most,
        });
        lens.fold(0, usize::saturating_add)
    }

    /// The most bytes that stand at the place of this name, if there is one.
    pub(super) fn longest(&self, name: &str) -> Option<usize> {
        self.elements.iter().find_map(|element| match element {
            Element::Place { name: known, most, .. } if !name.is_empty() && **known == *name => Some(*most),
            Element::Place { .. } | Element::Bytes(_) => None,
        })
    }

    /// Whether a registration stands at the front of `bytes`; `silent` says that no more bytes come for now.
    #[must_use]
    pub fn at_front(&self, bytes: &[u8], silent: bool) -> Found {
        let mut places = Vec::new();
        let mut at = 0;
        let mut id = Box::default();
        let mut elements = self.elements.iter().peekable();
        while let Some(element) = elements.next() {
            let rest = bytes.get(at..).unwrap_or_default();
            let len = match element {
                Element::Bytes(literal) if rest.starts_with(literal) => Ok(literal.len()),
                Element::Bytes(literal) => Err(literal.starts_with(rest)),
                Element::Place { class, least, most, .. } => {
                    let behind = match elements.peek() {
                        Some(Element::Bytes(literal)) if least != most => Some(&**literal),
                        Some(_) | None => None,
                    };
                    run(rest, *class, *least..=*most, behind, silent)
                }
            };
            let len = match len {
                Ok(len) => len,
                Err(can_become) => return if can_become && !silent { Found::NeedMore } else { Found::None },
            };
            if let Element::Place { name, class, .. } = element
                && !name.is_empty()
            {
                if **name == *ID {
                    id = id_of(*class, rest.get(..len).unwrap_or_default());
                }
                places.push((name.clone(), at..at + len));
            }
            at += len;
        }
        Found::Whole(Captures { bytes: bytes.get(..at).unwrap_or_default().into(), places, id })
    }
}

impl Element {
    fn name(&self) -> Option<&str> {
        match self {
            Self::Place { name, .. } => Some(name),
            Self::Bytes(_) => None,
        }
    }
}

/// How many bytes at the front of `rest` a place takes; or whether more bytes could make it one.
fn run(
    rest: &[u8],
    class: Class,
    counts: core::ops::RangeInclusive<usize>,
    behind: Option<&[u8]>,
    silent: bool,
) -> Result<usize, bool> {
    let (least, most) = (*counts.start(), *counts.end());
    let of_class = rest.iter().take(most).take_while(|byte| class.has(**byte)).count();
    let is_cut = of_class == rest.len();
    if of_class < least {
        return Err(is_cut);
    }
    let Some(behind) = behind else {
        let is_final = of_class == most || !is_cut || silent;
        return if is_final { Ok(of_class) } else { Err(true) };
    };
    for len in least..=of_class {
        let here = rest.get(len..).unwrap_or_default();
        if here.starts_with(behind) {
            return Ok(len);
        }
        if behind.starts_with(here) {
            return Err(true);
        }
    }
    Err(false)
}

fn id_of(class: Class, bytes: &[u8]) -> Box<str> {
    if class == Class::Any {
        bytes.iter().map(|byte| format!("{byte:02X}")).collect::<String>().into()
    } else {
        String::from_utf8_lossy(bytes).into()
    }
}

/// Reads `name:class*count`.
fn place(inside: &str) -> Option<Element> {
    let (name, rest) = inside.split_once(':')?;
    let (class, count) = rest.split_once('*').unwrap_or((rest, "1"));
    let (least, most) = count.split_once("..").unwrap_or((count, count));
    let (least, most): (usize, usize) = (number(least)?, number(most)?);
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let fits = is_name && least >= 1 && least <= most && most <= REGISTRATION_MAX;
    let class = Class::named(class)?;
    fits.then(|| Element::Place { name: name.into(), class, least, most })
}

fn number(text: &str) -> Option<usize> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}
