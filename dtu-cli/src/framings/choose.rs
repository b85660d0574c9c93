//! From what the user writes to framings.

use super::choice::Choice;
use super::file;
use super::named::{Named, Shared};
use super::plan::Selection;
use super::way::Way;
use anyhow::bail;
use dtu_proto::presets::{self, Direction, Preset};
use dtu_proto::{Framing as _, Native};
use std::path::Path;

/// What stands for a framing that is to be found out.
pub(crate) const AUTO: &str = "auto";

/// What the framing of this toolkit is called.
pub(crate) const NATIVE: &str = "native";

/// The framing whose registration comes once and is told by nothing but its place.
const FOURFAITH: &str = "fourfaith_prot";

/// How a file with a declaration is told from a name.
const FILE_ENDING: &str = ".toml";

/// Finds what `text` names: `native`, a preset, `auto`, or a file with a declaration. `max_payload` limits the native framing.
///
/// # Errors
///
/// There is no such framing, or the file cannot be read or declares none.
pub(crate) fn choose(text: &str, max_payload: u16) -> anyhow::Result<Selection> {
    if text == AUTO {
        return Ok(sniffed(max_payload));
    }
    if text == NATIVE {
        return Ok(Selection::One(Box::new(native(max_payload))));
    }
    if let Some(preset) = presets::by_name(text) {
        return Ok(Selection::One(Box::new(of_preset(preset))));
    }
    let path = Path::new(text);
    if text.ends_with(FILE_ENDING) || text.contains(['/', '\\']) {
        let name = path.file_name().map_or_else(|| text.to_owned(), |name| name.to_string_lossy().into_owned());
        let declared = Named::same(&name, Box::new(file::load(path)?));
        return Ok(Selection::One(Box::new(Choice::Same(declared))));
    }
    let like: Vec<&str> = presets::ALL.iter().map(Preset::name).filter(|name| is_like(name, text)).collect();
    let hint = if like.is_empty() { String::new() } else { format!("; there is {}", like.join(", ")) };
    bail!("no framing is called {text:?}{hint}; `dtu framings` lists all, and a file's name ends in {FILE_ENDING}")
}

fn native(max_payload: u16) -> Choice {
    Choice::Same(Named::native(Native::with_max_payload(max_payload)))
}

fn of_preset(preset: &'static Preset) -> Choice {
    let framing = |way| -> Shared {
        Box::new(preset.framing(match way {
            Way::Up => Direction::Up,
            Way::Down => Direction::Down,
        }))
    };
    if preset.name() == FOURFAITH {
        return Choice::with_registration(FOURFAITH, framing);
    }
    if preset.is_directional() {
        return Choice::by_way(preset.name(), framing);
    }
    let named = Named::same(preset.name(), framing(Way::Up));
    Choice::Same(if preset.is_datagram() { named.of_datagrams() } else { named })
}

/// All that can be told by their bytes, those for datagrams last.
fn sniffed(max_payload: u16) -> Selection {
    let (datagrams, streams): (Vec<_>, Vec<_>) = presets::ALL.iter().partition(|preset| preset.is_datagram());
    // What fixes nothing fits everything.
    let can_be_told = |choice: &Choice| choice.of(None).evidence() > 0;
    let mut choices = vec![native(max_payload)];
    choices.extend(streams.into_iter().map(of_preset).filter(can_be_told));
    let for_streams = choices.len();
    choices.extend(datagrams.into_iter().map(of_preset).filter(can_be_told));
    Selection::Sniffed { choices, for_streams }
}

/// Whether the name may be what was meant: it has a word of it, or begins alike.
fn is_like(name: &str, text: &str) -> bool {
    const ALIKE: usize = 4;
    let plain = |text: &str| text.to_ascii_lowercase().replace(['-', ' ', '.', '/'], "_");
    let text = plain(text);
    let stem: String = text.chars().take(ALIKE).collect();
    let mut words = text.split('_').filter(|word| word.len() >= ALIKE - 1);
    words.any(|word| name.contains(word)) || (stem.len() == ALIKE && name.starts_with(&stem))
}

#[cfg(test)]
mod tests {
    use super::{AUTO, choose, presets, sniffed};
    use dtu_proto::sniff::MAX_CANDIDATES;

    #[test]
    fn every_preset_is_found_by_its_name() {
        for preset in &presets::ALL {
            assert!(choose(preset.name(), 9).is_ok(), "{preset:?}");
        }
        assert!(choose("native", 9).is_ok() && choose(AUTO, 9).is_ok());
    }

    #[test]
    fn there_are_not_too_many_candidates() {
        assert!(sniffed(9).candidates().len() <= MAX_CANDIDATES);
    }

    #[test]
    fn a_name_that_is_none_is_answered_with_those_like_it() {
        let problem = |text| choose(text, 9).err().expect("there is no such framing").to_string();
        let rest = "`dtu framings` lists all, and a file's name ends in .toml";
        assert_eq!(
            problem("modbus"),
            format!("no framing is called \"modbus\"; there is modbus_rtu, modbus_ascii, modbus_tcp; {rest}")
        );
        assert_eq!(problem("DLT645"), format!("no framing is called \"DLT645\"; there is dlt645_2007; {rest}"));
        assert_eq!(problem("xyzzy"), format!("no framing is called \"xyzzy\"; {rest}"));
    }
}
