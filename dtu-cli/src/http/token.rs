//! The token that requests have to show.

use anyhow::{Context, ensure};
use arc_swap::ArcSwapOption;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

/// The shortest token, in bytes: less is guessed.
const TOKEN_MIN: usize = 16;

/// The longest file of a token, in bytes.
const FILE_MAX: u64 = 4096;

#[derive(Debug)]
pub(super) struct Token {
    is_there: bool,
    token: ArcSwapOption<Secret>,
    /// What is unsafe about the file.
    warning: Option<String>,
}

/// Not to be printed.
struct Secret(Box<[u8]>);

impl core::fmt::Debug for Secret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Secret")
    }
}

impl Token {
    /// Reads the file, where there is one.
    ///
    /// # Errors
    /// The file, or what is in it.
    pub(super) fn load(path: Option<&Path>) -> anyhow::Result<Self> {
        let (token, warning) = path.map(read).transpose()?.unzip();
        let token = ArcSwapOption::new(token.map(Arc::new));
        Ok(Self { is_there: path.is_some(), token, warning: warning.flatten() })
    }

    pub(super) const fn is_there(&self) -> bool {
        self.is_there
    }

    pub(super) fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// Takes the token in the file at `path`, and returns whether it does: who asks for a token goes on to ask for one, and who does
    /// not goes on not to. What is wrong with the file leaves the token that was.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub(super) fn reload(&self, path: Option<&Path>) -> anyhow::Result<bool> {
        let (true, Some(path)) = (self.is_there(), path) else { return Ok(false) };
        let (token, _) = read(path)?;
        self.token.store(Some(Arc::new(token)));
        Ok(true)
    }

    /// Whether `shown` is the token, or there is none to be shown.
    pub(super) fn admits(&self, shown: Option<&[u8]>) -> bool {
        match (&*self.token.load(), shown) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(token), Some(shown)) => is_same(&token.0, shown),
        }
    }
}

/// Compares without telling by its time where they differ. Their lengths it tells.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let differences = one.iter().zip(other).fold(0, |all, (one, other)| core::hint::black_box(all | (one ^ other)));
    one.len() == other.len() && differences == 0
}

/// The token, and what is unsafe about its file.
fn read(path: &Path) -> anyhow::Result<(Secret, Option<String>)> {
    let name = || format!("cannot use the token in {}", path.display());
    let file = File::open(path).with_context(name)?;
    let shown = path.display();
    let warning =
        is_exposed(&file).then(|| format!("others can read or change the token in {shown}; chmod o= {shown}"));
    let mut text = String::new();
    file.take(FILE_MAX).read_to_string(&mut text).with_context(name)?;
    let token = text.lines().next().unwrap_or_default().trim();
    let is_right = token.len() >= TOKEN_MIN && token.bytes().all(|byte| byte.is_ascii_graphic());
    ensure!(
        is_right,
        "{}: its first line has to be a token of {TOKEN_MIN} letters, digits or signs at least, as `openssl rand -hex 32` makes one",
        name()
    );
    Ok((Secret(token.as_bytes().into()), warning))
}

#[cfg(unix)]
fn is_exposed(file: &File) -> bool {
    use std::os::unix::fs::MetadataExt;
    const OTHERS: u32 = 0o007;
    file.metadata().is_ok_and(|metadata| metadata.mode() & OTHERS != 0)
}

#[cfg(not(unix))]
fn is_exposed(_: &File) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_the_token_and_nothing_else_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        std::fs::write(&path, "  0123456789abcdef \nnotes\n").unwrap();
        let token = Token::load(Some(&path)).unwrap();
        assert!(token.admits(Some(b"0123456789abcdef")));
        for wrong in [&b""[..], b"0123456789abcde", b"0123456789abcdeg", b"0123456789abcdef0", b"1123456789abcdef"] {
            assert!(!token.admits(Some(wrong)), "{wrong:?}");
        }
        assert!(!token.admits(None));

        std::fs::write(&path, "fedcba9876543210\n").unwrap();
        token.reload(Some(&path)).unwrap();
        assert!(token.admits(Some(b"fedcba9876543210")) && !token.admits(Some(b"0123456789abcdef")));
        for wrong in ["", "short", "0123456789abcdef with blanks", "0123456789abcd\u{e9}f"] {
            std::fs::write(&path, wrong).unwrap();
            assert!(token.reload(Some(&path)).unwrap_err().to_string().contains("first line"), "{wrong:?}");
        }
        assert!(token.admits(Some(b"fedcba9876543210")), "a wrong file leaves the old one");
    }

    #[test]
    fn without_a_file_everybody_is_admitted() {
        let token = Token::load(None).unwrap();
        assert!(token.admits(None) && token.admits(Some(b"any")) && !token.is_there());
        assert!(!token.reload(Some(Path::new("/nowhere"))).unwrap(), "nor is one asked for later");
    }
}
