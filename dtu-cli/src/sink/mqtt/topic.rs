//! Topics: `<prefix>/<device>/<event>`.

use core::fmt::Write;

/// The topic of an event. Where nobody said who he is, the level of the device is empty, which no device id is.
pub(super) fn of(prefix: &str, device: Option<&str>, event: &str) -> String {
    let device = device.unwrap_or_default();
    let mut topic = String::with_capacity(prefix.len() + device.len() + event.len() + 2);
    topic.push_str(prefix);
    topic.push('/');
    for character in device.chars() {
        if is_plain(character) {
            topic.push(character);
        } else {
            for byte in character.encode_utf8(&mut [0; 4]).bytes() {
                write!(topic, "%{byte:02X}").expect("a string takes all");
            }
        }
    }
    topic.push('/');
    topic.push_str(event);
    topic
}

/// Whether a character of a device id may stand in a topic as it is. Besides what has a meaning there, brokers hang up on control
/// characters and on what is no character.
const fn is_plain(character: char) -> bool {
    let code = character as u32;
    let is_noncharacter = matches!(code, 0xfdd0..=0xfdef) || code & 0xfffe == 0xfffe;
    !matches!(character, '/' | '+' | '#' | '%') && !matches!(code, 0..=0x1f | 0x7f..=0x9f) && !is_noncharacter
}

/// Whether a text can be the beginning of every topic.
pub(super) fn is_prefix(text: &str) -> bool {
    let is_allowed = |character: char| character == '/' || is_plain(character);
    !text.is_empty() && !text.starts_with('$') && text.chars().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_meaning_in_topics_is_escaped_byte_by_byte() {
        assert_eq!(of("dtu", Some("meter-7"), "data"), "dtu/meter-7/data");
        assert_eq!(of("a/b", Some("x/+#%\n"), "skip"), "a/b/x%2F%2B%23%25%0A/skip");
        assert_eq!(of("dtu", Some("表\u{85}\u{ffff}"), "data"), "dtu/表%C2%85%EF%BF%BF/data");
        assert_eq!(of("dtu", Some("\u{fdd0}\u{1fffe}"), "data"), "dtu/%EF%B7%90%F0%9F%BF%BE/data");
        assert_eq!(of("dtu", None, "refused"), "dtu//refused");
    }

    #[test]
    fn a_prefix_is_a_topic_without_wildcards() {
        for text in ["dtu", "plant 7/dtu", "表"] {
            assert!(is_prefix(text), "{text}");
        }
        for text in ["", "$SYS", "a/+", "#", "a%", "a\0"] {
            assert!(!is_prefix(text), "{text:?}");
        }
    }
}
