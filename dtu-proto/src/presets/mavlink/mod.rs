//! MAVLink, versions 1 and 2.
//!
//! The checksum of a message covers a byte that is not sent: the seed of its kind, which depends on the fields that sender and
//! receiver think it has. Who does not know a kind's seed cannot check its frames, so they are rejected as
//! [`Unknown`](crate::Malformed::Unknown) and whatever is in them is searched for frames.

mod common;
mod v1;
mod v2;

pub use v1::Mavlink1;
pub use v2::{Mavlink2, SIGNATURE_LEN};

use crate::checksum::Algorithm;
use crate::checksum::catalogue::CRC_16_MCRF4XX;
use common::COMMON;

/// How the seed of a message kind is found: CRC_EXTRA of a message id, `None` where the id is not known.
pub type CrcExtra = fn(u32) -> Option<u8>;

/// The ids that a table finds at once; the others are searched for.
const DENSE_LEN: usize = 512;

/// The seed of ids below [`DENSE_LEN`] above a bit that says that there is one.
static DENSE: [u16; DENSE_LEN] = {
    let mut dense = [0; DENSE_LEN];
    let mut at = 0;
    #[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]
    // evaluated at compile time
    while at < COMMON.len() && (COMMON[at].0 as usize) < DENSE_LEN {
        dense[COMMON[at].0 as usize] = (COMMON[at].1 as u16) << 8 | 1;
        at += 1;
    }
    dense
};

/// The seeds of the dialect `common`, which every autopilot speaks, and what it includes.
#[must_use]
#[inline]
pub fn common_crc_extra(message_id: u32) -> Option<u8> {
    let dense = usize::try_from(message_id).ok().and_then(|id| DENSE.get(id));
    match dense {
        Some(entry) => {
            let [is_known, seed] = entry.to_le_bytes();
            (is_known != 0).then_some(seed)
        }
        None => {
            let at = COMMON.binary_search_by_key(&message_id, |&(id, _)| id).ok()?;
            COMMON.get(at).map(|&(_, seed)| seed)
        }
    }
}

/// The checksum of a message whose bytes are `front` and `payload`: over all but the start marker, and the seed of its kind.
#[inline(always)]
fn checksum(front: &[u8], payload: &[u8], extra: u8) -> u32 {
    let mut digest = Algorithm::Crc(CRC_16_MCRF4XX).digest();
    digest.update(front.get(1..).unwrap_or_default());
    digest.update(payload);
    digest.update(&[extra]);
    digest.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_rises_and_is_found_whole() {
        assert!(COMMON.is_sorted_by(|a, b| a.0 < b.0));
        for (id, seed) in COMMON {
            assert_eq!(common_crc_extra(id), Some(seed), "message {id}");
        }
        let known = (0..20_000).filter(|&id| common_crc_extra(id).is_some()).count();
        assert_eq!(known, COMMON.len());
        assert_eq!(common_crc_extra(u32::MAX), None);
    }

    #[test]
    fn seeds_are_those_of_the_documentation() {
        // HEARTBEAT, SYS_STATUS, COMMAND_LONG, ATTITUDE.
        assert_eq!([0, 1, 76, 30].map(common_crc_extra), [Some(50), Some(124), Some(152), Some(39)]);
    }
}
