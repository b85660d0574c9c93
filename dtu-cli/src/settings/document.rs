//! A TOML file that is read a section at a time, past its mistakes.

use super::mistake::Mistakes;
use crate::toml_error::{line, located};
use core::ops::Range;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Error, ValueDeserializer};

/// How many mistakes of one section are told.
const MISTAKES_MAX: usize = 32;

type Value<'t> = Spanned<DeValue<'t>>;

/// The text of a file that is TOML.
#[derive(Debug)]
pub(crate) struct Document(String);

/// What of a file is still to be read.
#[derive(Debug)]
pub(super) struct Reading<'t> {
    text: &'t str,
    rest: DeTable<'t>,
}

/// An element of a list of tables, with its place in the list.
pub(super) struct Element<'t> {
    pub(super) place: usize,
    pub(super) kind: String,
    pub(super) value: Value<'t>,
}

impl<'t> Reading<'t> {
    /// # Errors
    ///
    /// What makes it no TOML.
    pub(super) fn parse(text: &'t str) -> Result<Self, Mistakes> {
        let (table, errors) = DeTable::parse_recoverable(text);
        // What follows a first error in its line is a guess.
        let mut mistakes = Mistakes::default();
        for error in &errors {
            let (at, key, message) = located(text, error);
            if mistakes.iter().all(|told| told.line != at) {
                mistakes.add_at(at.unwrap_or(1), key, message);
            }
        }
        mistakes.or(())?;
        Ok(Self { text, rest: table.into_inner() })
    }

    /// What is there beside these sections.
    pub(super) fn unknown(&self, sections: &[&str]) -> Mistakes {
        let mut mistakes = Mistakes::default();
        let allowed = sections.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        for (name, _) in self.rest.iter().filter(|(name, _)| !sections.contains(&name.get_ref().as_ref())) {
            let text = format!("unknown section, expected one of {allowed}");
            mistakes.add_at(line(self.text, name.span().start), name.get_ref().to_string(), text);
        }
        mistakes
    }

    /// A section that is a table, or its defaults where it is not there or cannot be read.
    pub(super) fn section<T: DeserializeOwned + Default>(&mut self, name: &str, mistakes: &mut Mistakes) -> T {
        self.optional(name, mistakes).unwrap_or_default()
    }

    /// A section that is a table; `None` where it is not there or cannot be read.
    pub(super) fn optional<T: DeserializeOwned>(&mut self, name: &str, mistakes: &mut Mistakes) -> Option<T> {
        let value = self.rest.remove(name)?;
        self.value(value, mistakes)
    }

    /// A section that is a list of tables, each of one of these kinds.
    pub(super) fn list(&mut self, name: &str, kinds: &[&str], mistakes: &mut Mistakes) -> Vec<Element<'t>> {
        let Some(value) = self.rest.remove(name) else { return Vec::new() };
        let (at, allowed) = (line(self.text, value.span().start), words(kinds));
        let DeValue::Array(list) = value.into_inner() else {
            mistakes.add_at(at, name.to_owned(), format!("it is a list: write [[{name}]]"));
            return Vec::new();
        };
        let mut elements = Vec::new();
        for (place, mut value) in list.into_iter().enumerate() {
            let (span, key) = (value.span(), format!("{name}[{place}]"));
            let DeValue::Table(table) = value.get_mut() else {
                mistakes.add_at(line(self.text, span.start), key, format!("it is a table: write [[{name}]]"));
                continue;
            };
            let Some(kind) = table.remove("kind") else {
                mistakes.add_at(line(self.text, span.start), key, format!("missing field `kind`, expected {allowed}"));
                continue;
            };
            let wrong = match kind.get_ref().as_str() {
                Some(kind) if kinds.contains(&kind) => {
                    elements.push(Element { place, kind: kind.to_owned(), value });
                    continue;
                }
                Some(found) => format!("unknown kind `{found}`, expected {allowed}"),
                None => format!("invalid type: {}, expected {allowed}", kind.get_ref().type_str()),
            };
            mistakes.add_at(line(self.text, kind.span().start), format!("{key}.kind"), wrong);
        }
        elements
    }

    /// Reads a value. What is wrong in it is told and taken out, until it can be read or what is left cannot be.
    pub(super) fn value<T: DeserializeOwned>(&self, mut value: Value<'t>, mistakes: &mut Mistakes) -> Option<T> {
        let mut taken_out: Vec<String> = Vec::new();
        for _ in 0..MISTAKES_MAX {
            let error = match T::deserialize(ValueDeserializer::from(value.clone())) {
                // What was taken out has its default, which is good for finding more.
                Ok(read) => return Some(read),
                Err(error) => error,
            };
            let missing = missing(&error);
            if !missing.is_some_and(|name| taken_out.iter().any(|taken| taken == name)) {
                let (at, key, message) = located(self.text, &error);
                mistakes.add_at(at.unwrap_or_else(|| line(self.text, value.span().start)), key, message);
            }
            taken_out.push(take_out(&mut value, &error.span()?)?);
        }
        None
    }
}

impl Document {
    pub(super) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Gives every mistake its line.
    pub(crate) fn placed(&self, mut mistakes: Mistakes) -> Mistakes {
        for mistake in mistakes.iter_mut().filter(|mistake| mistake.line.is_none()) {
            mistake.line = Some(self.line_of(&mistake.key));
        }
        mistakes
    }

    /// The line of a key with those around it, or of the innermost of them that is there.
    pub(crate) fn line_of(&self, key: &str) -> usize {
        let whole = DeTable::parse(&self.0).map(Spanned::into_inner).unwrap_or_default();
        line(&self.0, find(&whole, key).unwrap_or(0))
    }

    /// Every key that has a value, with those around it.
    pub(crate) fn keys(&self) -> BTreeMap<String, toml::Value> {
        let mut keys = BTreeMap::new();
        // It was read already.
        let table = self.0.parse::<toml::Table>().unwrap_or_default();
        collect(&toml::Value::Table(table), "", &mut keys);
        keys
    }
}

/// Takes the leaves of `value`, which stands at `at`.
fn collect(value: &toml::Value, at: &str, keys: &mut BTreeMap<String, toml::Value>) {
    if let Some(table) = value.as_table() {
        let dot = if at.is_empty() { "" } else { "." };
        table.iter().for_each(|(name, value)| collect(value, &format!("{at}{dot}{name}"), keys));
        return;
    }
    let list = value.as_array().filter(|list| list.iter().any(toml::Value::is_table));
    match list {
        Some(list) => {
            list.iter().enumerate().for_each(|(place, value)| collect(value, &format!("{at}[{place}]"), keys));
        }
        None => drop(keys.insert(at.to_owned(), value.clone())),
    }
}

fn words(kinds: &[&str]) -> String {
    let quoted: Vec<_> = kinds.iter().map(|kind| format!("`{kind}`")).collect();
    match &quoted[..] {
        [kind] => kind.clone(),
        kinds => format!("one of {}", kinds.join(", ")),
    }
}

/// The field for want of which there is an error.
fn missing(error: &Error) -> Option<&str> {
    error.message().strip_prefix("missing field `")?.strip_suffix('`')
}

/// Takes what stands at `span` out of a value, and says its key. `None` when it is the value itself.
fn take_out(value: &mut Value<'_>, span: &Range<usize>) -> Option<String> {
    match value.get_mut() {
        DeValue::Table(table) => {
            let found = table.iter().find(|(key, value)| key.span() == *span || value.span() == *span);
            if let Some(name) = found.map(|(key, _)| key.get_ref().to_string()) {
                table.remove(name.as_str());
                return Some(name);
            }
            table.iter_mut().find_map(|(_, value)| take_out(value, span))
        }
        DeValue::Array(list) => list.iter_mut().find_map(|value| take_out(value, span)).or_else(|| {
            let place = list.iter().position(|value| value.span() == *span)?;
            *list = list.iter().enumerate().filter(|(at, _)| *at != place).map(|(_, value)| value.clone()).collect();
            Some(String::new())
        }),
        DeValue::String(_) | DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {
            None
        }
    }
}

/// Where a key stands, or the innermost of those around it that is there.
fn find(table: &DeTable<'_>, key: &str) -> Option<usize> {
    let (first, rest) = key.split_once('.').unwrap_or((key, ""));
    let (name, index) = match first.split_once('[') {
        Some((name, index)) => (name, index.strip_suffix(']').and_then(|index| index.parse::<usize>().ok())),
        None => (first, None),
    };
    let (key, value) = table.iter().find(|(key, _)| key.get_ref().as_ref() == name)?;
    let (start, value) = match (index, value.get_ref()) {
        (Some(index), DeValue::Array(list)) => match list.get(index) {
            Some(value) => (value.span().start, value),
            None => return Some(key.span().start),
        },
        _ => (key.span().start, value),
    };
    let inner = value.get_ref().as_table().filter(|_| !rest.is_empty());
    Some(inner.and_then(|table| find(table, rest)).unwrap_or(start))
}
