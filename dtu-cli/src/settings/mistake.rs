//! What is wrong with settings.

use core::fmt;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake {
    /// In which line of the file, where that is known.
    pub(crate) line: Option<usize>,
    /// The key with those around it, as `listener[0].tls.cert`; empty where it is about none.
    pub(crate) key: String,
    /// What is wrong, and what is allowed.
    pub(crate) text: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Flags have no lines, and their text says which flag.
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
            if !self.key.is_empty() && !self.text.starts_with(&self.key) {
                write!(f, "{}: ", self.key)?;
            }
        }
        f.write_str(&self.text)
    }
}

/// All that is wrong.
#[derive(Debug, Default)]
pub(crate) struct Mistakes(Vec<Mistake>);

impl Mistakes {
    /// One that is about the whole file.
    pub(crate) fn one(text: impl Into<String>) -> Self {
        Self(vec![Mistake { line: None, key: String::new(), text: text.into() }])
    }

    /// One more, at a key. What is wrong with a whole for want of a part that is told itself is not told.
    pub(crate) fn add(&mut self, key: impl Into<String>, text: impl Into<String>) {
        let (key, text) = (key.into(), text.into());
        let is_part = |told: &Mistake| told.key.strip_prefix(&key).is_some_and(|rest| rest.starts_with('.'));
        if !self.0.iter().any(is_part) {
            self.0.push(Mistake { line: None, key, text });
        }
    }

    /// One more in a section that judges itself: `said` begins with the key, as it does in `timeout: 1ms is too short` or
    /// `timeout is 1ms`, and in `nats.user: it needs a password`.
    pub(crate) fn add_said(&mut self, section: &str, said: &str) {
        if let Some(of_all) = said.strip_prefix(section).and_then(|rest| rest.strip_prefix(": ")) {
            return self.add(section, of_all);
        }
        let said = said.strip_prefix(section).and_then(|rest| rest.strip_prefix('.')).unwrap_or(said);
        let end = said.find(|c: char| !c.is_ascii_lowercase() && !"_.".contains(c)).unwrap_or(said.len());
        let (key, rest) = said.split_at(end);
        let names_it = [":", " is ", " `", " needs "].iter().any(|next| rest.starts_with(next));
        match rest.strip_prefix(": ") {
            _ if key.is_empty() || !names_it => self.add(section, said),
            Some(rest) => self.add(format!("{section}.{key}"), rest),
            None => self.add(format!("{section}.{key}"), said),
        }
    }

    pub(super) fn add_at(&mut self, line: usize, key: String, text: String) {
        self.0.push(Mistake { line: Some(line), key, text });
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Mistake> {
        self.0.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Mistake> {
        self.0.iter_mut()
    }

    /// These and those.
    pub(crate) fn and(mut self, more: Self) -> Self {
        self.0.extend(more.0);
        self
    }

    /// `value`, when nothing is wrong; otherwise all that is, by lines.
    pub(crate) fn or<T>(mut self, value: T) -> Result<T, Self> {
        if self.is_empty() {
            return Ok(value);
        }
        self.0.sort_by_key(|mistake| mistake.line);
        self.0.dedup();
        Err(self)
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, mistake) in self.0.iter().enumerate() {
            write!(f, "{}{mistake}", if place == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl core::error::Error for Mistakes {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_that_is_said_first_is_the_key_of_the_mistake() {
        for (said, key, text) in [
            ("timeout: 1ms is short", "sink[1].timeout", "1ms is short"),
            ("sink[1].tls.ca: cannot read x", "sink[1].tls.ca", "cannot read x"),
            ("sink[1]: of `a` and `b` there may be one", "sink[1]", "of `a` and `b` there may be one"),
            ("timeout is 1ms, and may be 1s", "sink[1].timeout", "timeout is 1ms, and may be 1s"),
            ("broker `x` has to be y", "sink[1].broker", "broker `x` has to be y"),
            ("cannot read password_file x: gone", "sink[1]", "cannot read password_file x: gone"),
            ("", "sink[1]", ""),
        ] {
            let mut mistakes = Mistakes::default();
            mistakes.add_said("sink[1]", said);
            let told: Vec<_> = mistakes.iter().map(|told| (told.key.as_str(), told.text.as_str())).collect();
            assert_eq!(told, [(key, text)]);
        }
    }
}
