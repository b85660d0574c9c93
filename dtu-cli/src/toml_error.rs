//! What is wrong with a TOML file, in one line: where, the key, and the reason.

use core::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Error};

/// What could not be read of `text`, as far as there are such: the line, the key with those around it, and the reason.
pub(crate) fn one_line(text: &str, error: &Error) -> String {
    match located(text, error) {
        (None, _, message) => message,
        // Some messages name the key themselves.
        (Some(line), key, message) if key.is_empty() || message.starts_with(&key) => format!("line {line}: {message}"),
        (Some(line), key, message) => format!("line {line}: {key}: {message}"),
    }
}

/// The same in parts: the line, the key, which may be empty, and the reason.
pub(crate) fn located(text: &str, error: &Error) -> (Option<usize>, String, String) {
    let message = in_words(error.message().split_whitespace().collect::<Vec<_>>().join(" "));
    let Some(span) = error.span() else { return (None, String::new(), message) };
    let mut path = Vec::new();
    match DeTable::parse(text) {
        Ok(table) => keys_to(table.get_ref(), &span, &mut path),
        // What is no TOML has no keys, but one that is there twice is told by its name.
        Err(_) if message == "duplicate key" => path.extend(text.get(span.clone()).map(str::to_owned)),
        Err(_) => {}
    }
    (Some(line(text, span.start)), path.join("."), message)
}

/// The message without the name of a type for what a number should be.
fn in_words(message: String) -> String {
    const NUMBERS: [(&str, &str); 8] = [
        ("usize", "a whole number from 0 on"),
        ("u64", "a whole number from 0 on"),
        ("u32", "a whole number from 0 to 4294967295"),
        ("u16", "a whole number from 0 to 65535"),
        ("u8", "a whole number from 0 to 255"),
        ("i32", "a whole number"),
        ("i64", "a whole number"),
        ("f64", "a number"),
    ];
    match message.rsplit_once(", expected ") {
        Some((found, kind)) => match NUMBERS.iter().find(|(name, _)| *name == kind) {
            Some((_, words)) => format!("{found}, expected {words}"),
            None => message,
        },
        None => message,
    }
}

/// The number of the line with the byte at `at`, from 1.
pub(crate) fn line(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|&byte| byte == b'\n').count() + 1
}

/// Finds the keys, from the outermost in, that lead to what stands at `span`; those of a list have its index.
fn keys_to(table: &DeTable<'_>, span: &Range<usize>, path: &mut Vec<String>) {
    for (key, value) in table {
        let reaches = key.span().start <= span.start && span.end <= value.span().end.max(key.span().end);
        if !reaches && !holds(value, span) {
            continue;
        }
        let name = key.get_ref().to_string();
        match value.get_ref() {
            DeValue::Table(inner) => {
                path.push(name);
                keys_to(inner, span, path);
            }
            DeValue::Array(list) => match list.iter().enumerate().find(|(_, value)| holds(value, span)) {
                Some((index, value)) => {
                    path.push(format!("{name}[{index}]"));
                    if let DeValue::Table(inner) = value.get_ref() {
                        keys_to(inner, span, path);
                    }
                }
                None => path.push(name),
            },
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => path.push(name),
        }
        return;
    }
}

/// Whether what stands at `span` is in `value`; a table with a heading of its own spans the heading alone.
fn holds(value: &Spanned<DeValue<'_>>, span: &Range<usize>) -> bool {
    let within = |outer: Range<usize>| outer.start <= span.start && span.end <= outer.end;
    within(value.span())
        || match value.get_ref() {
            DeValue::Table(table) => table.iter().any(|(key, value)| within(key.span()) || holds(value, span)),
            DeValue::Array(list) => list.iter().any(|value| holds(value, span)),
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => false,
        }
}
