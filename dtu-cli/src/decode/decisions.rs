//! Which framings were found in the streams, in one line.

use super::walk::Entry;
use core::fmt;
use std::collections::BTreeMap;

/// Counts of streams by framing, and what was said of the last.
#[derive(Debug, Default)]
pub(super) struct Decisions {
    streams: BTreeMap<Option<String>, u64>,
    last: String,
}

impl Decisions {
    pub(super) fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    pub(super) fn record(&mut self, entry: &Entry<'_>) {
        let name = match entry {
            Entry::Decided { framing, .. } => Some(framing.name().to_owned()),
            Entry::NoneFits { .. } => None,
            Entry::Inner(inner) => return self.record(inner.entry),
            Entry::Frame { .. } | Entry::Skipped(_) | Entry::Gap { .. } => return,
        };
        *self.streams.entry(name).or_default() += 1;
        self.last = Said(entry).to_string();
    }
}

impl fmt::Display for Decisions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.streams.values().sum::<u64>() == 1 {
            return f.write_str(&self.last);
        }
        for (index, (name, count)) in self.streams.iter().rev().enumerate() {
            let (comma, plural) = (if index == 0 { "" } else { ", " }, if *count == 1 { "" } else { "s" });
            write!(f, "{comma}{count} stream{plural} {}", name.as_deref().unwrap_or("in none that is known"))?;
        }
        Ok(())
    }
}

/// A decision in words; nothing for other entries.
pub(super) struct Said<'a, 'e>(pub(super) &'a Entry<'e>);

impl fmt::Display for Said<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Entry::Decided { framing, score, lead, .. } => {
                write!(f, "{}, score {score}", framing.name())?;
                lead.map_or(Ok(()), |lead| write!(f, ", {lead} above the next"))
            }
            Entry::NoneFits { best, .. } => {
                f.write_str("none fits")?;
                let mut before = "; the best: ";
                best.iter().try_for_each(|(name, score)| {
                    write!(f, "{before}{name} {score}")?;
                    before = ", ";
                    Ok(())
                })
            }
            Entry::Frame { .. } | Entry::Skipped(_) | Entry::Gap { .. } | Entry::Inner(_) => Ok(()),
        }
    }
}
