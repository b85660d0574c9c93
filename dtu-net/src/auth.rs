//! The proof that a device holds its key: the MAC that PROOF carries and the server checks (spec/session.md, S-20 and
//! S-21). Nothing here reads a clock or draws a random number; the nonce is the caller's.
//!
//! What the proof says, and what it does not: somebody who holds the device's key has answered this nonce. It says
//! nothing about the bytes that follow on the connection. They are neither encrypted nor signed, and a man in the middle
//! can pass the challenge and the proof on and then speak for either side. Against him there is TLS
//! (`driver::tls`, feature `tls`).
//!
//! # Examples
//!
//! ```
//! use dtu_net::auth::{Key, prove, verify};
//! use dtu_proto::message::DeviceId;
//!
//! let key = Key::from_hex("000102030405060708090a0b0c0d0e0f")?;
//! let device = DeviceId::new("meter-7")?;
//! let nonce = [0x5a; 16];
//!
//! let mac = prove(&key, &nonce, device);
//! assert!(verify(Some(&key), &nonce, device, &mac));
//! // The same proof for another challenge, or from a device without a key.
//! assert!(!verify(Some(&key), &[0x5b; 16], device, &mac));
//! assert!(!verify(None, &nonce, device, &mac));
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

use core::fmt;
use dtu_proto::message::DeviceId;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The nonce of a CHALLENGE, in bytes.
pub const NONCE_LEN: usize = 16;

/// The MAC of a PROOF, in bytes.
pub const MAC_LEN: usize = 32;

/// The shortest key, in bytes. What can be tried out is the key: a listener who has seen one nonce and its proof can try
/// keys as fast as his machines go, and 128 random bits are out of reach.
pub const MIN_KEY_LEN: usize = 16;

/// The longest key, in bytes: one block of SHA-256. HMAC would hash a longer one down to 32.
pub const MAX_KEY_LEN: usize = 64;

/// A key that a device and its server share: [`MIN_KEY_LEN`] to [`MAX_KEY_LEN`] random bytes. A passphrase is no key; it
/// can be guessed from one proof.
///
/// Keys have no `==`, which would take a time that tells how much is equal, and `Debug` shows nothing of them. They are
/// not wiped from memory when dropped. A key and the same key with zero bytes behind it are one key, as HMAC pads
/// (RFC 2104, section 2).
#[derive(Clone)]
pub struct Key {
    /// Padded with zeros, as HMAC does it.
    block: [u8; MAX_KEY_LEN],
}

impl Key {
    /// Takes a key.
    ///
    /// # Errors
    ///
    /// [`KeyError::Length`].
    pub fn new(key: &[u8]) -> Result<Self, KeyError> {
        let mut block = [0; MAX_KEY_LEN];
        match block.get_mut(..key.len()) {
            Some(front) if key.len() >= MIN_KEY_LEN => front.copy_from_slice(key),
            _ => return Err(KeyError::Length { length: key.len(), min: MIN_KEY_LEN, max: MAX_KEY_LEN }),
        }
        Ok(Self { block })
    }

    /// Takes a key as hex digits of either case, without anything between them.
    ///
    /// # Errors
    ///
    /// [`KeyError`]; a digit that is none is reported first, then an odd count, then the length.
    pub fn from_hex(digits: &str) -> Result<Self, KeyError> {
        let digits = digits.as_bytes();
        if let Some(at) = digits.iter().position(|digit| !digit.is_ascii_hexdigit()) {
            return Err(KeyError::NotHex { at });
        }
        let (pairs, rest) = digits.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(KeyError::OddDigits { digits: digits.len() });
        }
        let length = pairs.len();
        let mut bytes = [0; MAX_KEY_LEN];
        let Some(front) = bytes.get_mut(..length) else {
            return Err(KeyError::Length { length, min: MIN_KEY_LEN, max: MAX_KEY_LEN });
        };
        for (byte, [high, low]) in front.iter_mut().zip(pairs) {
            *byte = (nibble(*high) << 4) | nibble(*low);
        }
        Self::new(front)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// The value of an ASCII hex digit.
const fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        // The letters of both cases differ in one bit, and count up from 1 in the low four.
        _ => (digit & 0x0f) + 9,
    }
}

/// Why bytes are no [`Key`]. It tells nothing of the key but its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// It is too short or too long.
    Length {
        /// Its length in bytes.
        length: usize,
        /// The least it may have.
        min: usize,
        /// The most it may have.
        max: usize,
    },
    /// A character is no hex digit.
    NotHex {
        /// The bytes in front of it.
        at: usize,
    },
    /// Half a byte is left over.
    OddDigits {
        /// The hex digits there are.
        digits: usize,
    },
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { length, min, max } => write!(f, "key has {length} bytes, {min} to {max} are allowed"),
            Self::NotHex { at } => write!(f, "key is not hex at byte {at}"),
            Self::OddDigits { digits } => write!(f, "key has {digits} hex digits, and a byte takes two"),
        }
    }
}

impl core::error::Error for KeyError {}

/// The MAC with which `device` answers a CHALLENGE.
#[must_use]
pub fn prove(key: &Key, nonce: &[u8; NONCE_LEN], device: DeviceId<'_>) -> [u8; MAC_LEN] {
    //= spec/session.md#S-21
    keyed(&key.block, nonce, device.as_str().as_bytes()).finalize().into_bytes().into()
}

/// Whether `mac` answers the CHALLENGE with the key of `device`. The time it takes does not depend on where a wrong MAC
/// differs.
///
/// Without a key, for a device that is not known, it is never true, and takes the same work: whoever tries out device
/// ids does not learn from the time which of them exist.
#[must_use]
pub fn verify(key: Option<&Key>, nonce: &[u8; NONCE_LEN], device: DeviceId<'_>, mac: &[u8; MAC_LEN]) -> bool {
    let block = key.map_or(&[0; MAX_KEY_LEN], |key| &key.block);
    //= spec/session.md#S-21
    let is_equal = keyed(block, nonce, device.as_str().as_bytes()).verify_slice(mac).is_ok();
    is_equal & key.is_some()
}

/// HMAC-SHA-256 with a key padded to one block, fed with `front` and `back`.
fn keyed(block: &[u8; MAX_KEY_LEN], front: &[u8], back: &[u8]) -> Hmac<Sha256> {
    Hmac::new(block.into()).chain_update(front).chain_update(back)
}

#[cfg(test)]
mod tests {
    use super::{Key, MAX_KEY_LEN, keyed};
    use dtu_proto::hex::Hex;
    use hmac::Mac as _;

    fn padded(key: &[u8]) -> [u8; MAX_KEY_LEN] {
        let mut block = [0; MAX_KEY_LEN];
        block[..key.len()].copy_from_slice(key);
        block
    }

    /// RFC 4231, section 4, the cases whose key is at most one block and whose MAC is whole: 1, 2, 3 and 4. Cases 6 and 7
    /// have a key of 131 bytes, case 5 a truncated MAC.
    #[test]
    fn the_mac_is_the_one_of_rfc_4231() {
        let cases: [(Vec<u8>, Vec<u8>, &str); 4] = [
            (vec![0x0b; 20], b"Hi There".into(), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
            (
                b"Jefe".into(),
                b"what do ya want for nothing?".into(),
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (vec![0xaa; 20], vec![0xdd; 50], "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
            ((1..=25).collect(), vec![0xcd; 50], "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"),
        ];
        for (key, data, mac) in cases {
            for cut in 0..=data.len() {
                let (front, back) = data.split_at(cut);
                let computed = keyed(&padded(&key), front, back);
                assert_eq!(Hex(&computed.finalize().into_bytes()).to_string(), mac, "cut at {cut}");
            }
        }
    }

    #[test]
    fn hex_digits_of_both_cases_are_read() {
        let key = Key::from_hex("000123456789abcdefABCDEF00112233").unwrap();
        assert_eq!(Hex(&key.block[..16]).to_string(), "000123456789abcdefabcdef00112233");
        assert_eq!(key.block[16..], [0; MAX_KEY_LEN - 16]);
    }
}
