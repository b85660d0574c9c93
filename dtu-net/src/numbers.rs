//! The numbers of DATA: 32 bits, modulo 2^32; of two numbers the one less than 2^31 ahead is the later (`spec/session.md`, S-9).

/// Whether `a` comes after `b`.
pub(crate) const fn is_after(a: u32, b: u32) -> bool {
    let ahead = a.wrapping_sub(b);
    ahead != 0 && ahead < 1 << 31
}

/// The later of two numbers.
pub(crate) const fn later(a: u32, b: u32) -> u32 {
    if is_after(a, b) { a } else { b }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_holds_across_the_wrap_and_up_to_half_the_circle() {
        assert!(is_after(0, u32::MAX));
        assert!(!is_after(u32::MAX, 0));
        assert!(!is_after(7, 7));
        assert!(is_after((1 << 31) - 1, 0));
        assert!(!is_after(1 << 31, 0));
        assert_eq!((later(u32::MAX, 1), later(1, u32::MAX), later(3, 3)), (1, 1, 3));
    }
}
