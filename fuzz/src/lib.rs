//! What makes a function over bytes a fuzz target.

#[doc(hidden)]
#[cfg(fuzzing)]
pub use libfuzzer_sys;

/// Makes `body`, a function over `&[u8]`, this file's program: a libFuzzer target under cargo-fuzz.
#[cfg(fuzzing)]
#[macro_export]
macro_rules! target {
    ($body:path) => {
        $crate::libfuzzer_sys::fuzz_target!(|bytes: &[u8]| $body(bytes));
    };
}

/// Makes `body`, a function over `&[u8]`, this file's program: it runs over each file that is named as an argument.
///
/// So a finding can be looked at with the stable compiler and any debugger.
#[cfg(not(fuzzing))]
#[macro_export]
macro_rules! target {
    ($body:path) => {
        fn main() -> std::io::Result<()> {
            for file in std::env::args_os().skip(1) {
                println!("{}", file.display());
                $body(&std::fs::read(file)?);
            }
            Ok(())
        }
    };
}
