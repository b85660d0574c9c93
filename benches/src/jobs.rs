//! All jobs, in the order in which they are run and printed.

use crate::contest::Job;
use crate::noise::{GARBAGE, HOSTILE, NOISY_SIZES};
use crate::stream::{SIZES, Size};
use crate::{breaker, checksum, decode, encode, links, messages, noise, payloads, presets};

/// Hands each job to `run`, one after the other, so that only one's buffers exist at a time. A job whose name holds
/// none of `filters` is left out, unless there are none.
pub fn for_each(filters: &[String], mut run: impl FnMut(Job)) {
    let mut offer = |group: &str, size: Option<Size>, make: &dyn Fn() -> Job| {
        let name = size.map_or_else(|| group.to_owned(), |size| format!("{group}/{size}"));
        if filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str())) {
            run(make());
        }
    };
    for size in SIZES {
        offer("decode", Some(size), &|| decode::job(size));
    }
    for size in SIZES {
        offer("encode", Some(size), &|| encode::job(size));
    }
    for len in checksum::LENGTHS {
        offer("checksum", Some(Size::Bytes(len)), &|| checksum::job(len));
    }
    for group in messages::GROUPS {
        offer(group, None, &|| messages::job(group));
    }
    for group in links::GROUPS {
        offer(group, None, &|| links::job(group));
    }
    for group in breaker::GROUPS {
        offer(group, None, &|| breaker::job(group));
    }
    for (group, one_in) in [("noisy_1_in_100", 100), ("noisy_1_in_10", 10)] {
        for size in NOISY_SIZES {
            offer(group, Some(size), &|| noise::noisy(group, size, one_in));
        }
    }
    for hostile in HOSTILE {
        offer(hostile.group, Some(Size::Bytes(hostile.limit.into())), &|| noise::hostile(hostile));
    }
    for group in payloads::GROUPS {
        offer(group, None, &|| payloads::job(group));
    }
    for (group, lens) in presets::CONTESTS {
        for len in lens {
            offer(group, Some(Size::Bytes(len)), &|| presets::job(group, len));
        }
    }
    for group in GARBAGE {
        offer(group, None, &|| noise::garbage(group));
    }
    for preset in presets::alone() {
        offer(preset.name(), None, &|| presets::alone_job(preset));
    }
}
