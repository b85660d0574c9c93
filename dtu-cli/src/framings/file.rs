//! A framing that a file declares.

use crate::toml_error;
use anyhow::{Context as _, anyhow};
use dtu_proto::spec::{Declared, FrameSpec};
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use toml::de::{DeTable, DeValue};

/// The longest file that is read, in bytes.
const MAX_FILE_LEN: u64 = 64 << 10;

/// Reads the framing that the file at `path` declares.
///
/// # Errors
///
/// One line: the file, the line in it, the key and the reason, as far as there are such.
pub(super) fn load(path: &Path) -> anyhow::Result<Declared> {
    let name = || path.display().to_string();
    let mut text = String::new();
    let file = File::open(path).with_context(name)?;
    file.take(MAX_FILE_LEN + 1).read_to_string(&mut text).with_context(name)?;
    if u64::try_from(text.len()).is_ok_and(|len| len > MAX_FILE_LEN) {
        return Err(anyhow!("longer than {MAX_FILE_LEN} bytes, which no framing is").context(name()));
    }
    declared(&text).map_err(|problem| anyhow!(problem).context(name()))
}

fn declared(text: &str) -> Result<Declared, String> {
    let spec: FrameSpec = toml::from_str(text).map_err(|error| toml_error::one_line(text, &error))?;
    spec.compile().map_err(|error| {
        let table = DeTable::parse(text).ok();
        match table.and_then(|table| place(table.get_ref(), error.field.key())) {
            Some(at) => format!("line {}: {error}", toml_error::line(text, at)),
            None => error.to_string(),
        }
    })
}

/// Where the value of a key stands, or that of the innermost table there is on the way to it.
fn place(table: &DeTable<'_>, key: &str) -> Option<usize> {
    let (first, rest) = key.split_once('.').map_or((key, None), |(first, rest)| (first, Some(rest)));
    let (found, value) = table.iter().find(|(found, _)| found.get_ref() == first)?;
    let inner = match (rest, value.get_ref()) {
        (Some(rest), DeValue::Table(inner)) => place(inner, rest),
        _ => None,
    };
    inner.or(Some(found.span().start))
}

#[cfg(test)]
mod tests {
    use super::declared;
    use dtu_proto::Framing as _;

    #[test]
    fn a_declaration_is_read() {
        let text = "
            start = ['68']
            preamble = 'FE'
            fixed = [{ at = 7, hex = '68' }]
            length = { at = 9, width = 1, adjust = 12 }
            check = { algo = 'sum8', place = 2 }
            end = '16'
            max_len = 212
        ";
        let declared = declared(text).expect("it is free of contradictions");
        assert_eq!(declared.max_frame_len(), 212);
    }

    #[test]
    fn keys_are_found_in_every_form_of_a_table() {
        let reason = "length.width: invalid type: string \"x\", expected a whole number from 0 on";
        for (line, text) in [
            (1, "length = { at = 1, width = 'x' }"),
            (3, "[length]\nat = 1\nwidth = 'x'"),
            (2, "length.at = 1\nlength.width = 'x'"),
            (6, "[check]\nalgo = 'sum8'\nplace = 2\n[length]\nat = 1\nwidth = 'x'"),
            (4, "[length.repeat]\nat = 3\n[length]\nwidth = 'x'"),
        ] {
            assert_eq!(declared(text).expect_err("the width is wrong"), format!("line {line}: {reason}"), "{text}");
        }
        let twice = declared("max_len = 8\nmax_len = 9").expect_err("it is there twice");
        assert_eq!(twice, "line 2: max_len: duplicate key");
        let inner = "[length.repeat]\nat = 'x'\n[length]\nat = 1\nwidth = 1";
        let reason = "line 2: length.repeat.at: invalid type: string \"x\", expected a whole number from 0 on";
        assert_eq!(declared(inner).expect_err("the place is wrong"), reason);
    }
}
