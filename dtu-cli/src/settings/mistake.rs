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

    /// One more, at a key.
    pub(crate) fn add(&mut self, key: impl Into<String>, text: impl Into<String>) {
        self.0.push(Mistake { line: None, key: key.into(), text: text.into() });
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
