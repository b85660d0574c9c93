//! What a registration looks like.

use dtu_net::transparent::{Captures, Found, Pattern, Problem};

fn whole(pattern: &str, bytes: &[u8]) -> Captures {
    match Pattern::new(pattern).unwrap().at_front(bytes, false) {
        Found::Whole(captures) => captures,
        other => unreachable!("{other:?}"),
    }
}

/// What each beginning of `bytes` is: `n` needs more, `w` is whole, `-` is none.
fn course(pattern: &str, bytes: &[u8]) -> String {
    let pattern = Pattern::new(pattern).unwrap();
    let verdict = |len| match pattern.at_front(&bytes[..len], false) {
        Found::Whole(_) => 'w',
        Found::NeedMore => 'n',
        Found::None => '-',
    };
    (0..=bytes.len()).map(verdict).collect()
}

#[test]
fn a_verdict_does_not_change_when_more_bytes_come() {
    for (pattern, bytes, expected) in [
        ("A{id:digit*2}B", &b"A12Bxx"[..], "nnnnwww"),
        ("A{id:digit*2}B", b"A1xBxx", "nnn----"),
        ("{id:digit*2..4}", b"12345", "nnnnww"),
        ("{id:digit*2..4}", b"123x", "nnnnw"),
        ("{id:digit*2..4}", b"1x", "nn-"),
        ("{id:text*1..9},{x:digit*1..3};", b"a b,12;z", "nnnnnnnww"),
        ("{id:text*1..3},x", b"abcd", "nnnn-"),
        (r"\xFE{id:any*2}\r\n", b"\xFE\r\n\r\n!", "nnnnnww"),
        // The first place where what follows can stand counts.
        ("{id:text*1..9}--", b"a---", "nnnww"),
    ] {
        assert_eq!(course(pattern, bytes), expected, "{pattern} over {}", bytes.escape_ascii());
    }
}

#[test]
fn places_are_found_by_name_and_the_id_is_text_or_hex() {
    let found = whole(
        r"\x7B\x01{len:any*2}{id:digit*11}{ip:any*4}{:any*2}\x7B",
        b"\x7B\x01\x00\x1613912345678\x01\x02\x03\x04\x05\x06\x7B",
    );
    assert_eq!((found.id(), found.len(), found.is_empty()), ("13912345678", 22, false));
    assert_eq!(found.place("ip"), Some(&[1, 2, 3, 4][..]));
    assert_eq!(found.place(""), None);
    assert_eq!(found.places().map(|(name, _)| name).collect::<Vec<_>>(), ["len", "id", "ip"]);
    assert_eq!(whole("{id:any*3}", &[0x0A, 0xFF, 0x31]).id(), "0AFF31");
    assert_eq!(whole("{id:hex*3}", b"fF9").id(), "fF9");
    assert_eq!(whole("{id:alnum*5}", b"a-_.9").id(), "a-_.9");
}

#[test]
fn silence_ends_what_could_go_on() {
    let pattern = Pattern::new("{id:digit*2..4}").unwrap();
    assert_eq!(pattern.at_front(b"12", false), Found::NeedMore);
    assert!(matches!(pattern.at_front(b"12", true), Found::Whole(found) if found.id() == "12"));
    assert_eq!(pattern.at_front(b"1", true), Found::None);
    assert_eq!(Pattern::new("{id:digit}X").unwrap().at_front(b"1", true), Found::None);
}

#[test]
fn what_could_not_be_bounded_or_is_malformed_is_refused() {
    for (text, problem) in [
        ("REG", Problem::NoId),
        ("", Problem::NoId),
        ("{id:digit*1..3}{x:any}", Problem::OpenEnd { at: 0 }),
        ("{id:digit}{id:digit}", Problem::NameTwice { at: 10 }),
        ("{id:figure}", Problem::Place { at: 0 }),
        ("a{id}", Problem::Place { at: 1 }),
        ("{id:digit*0}", Problem::Place { at: 0 }),
        ("{id:digit*3..2}", Problem::Place { at: 0 }),
        ("{id:digit*+3}", Problem::Place { at: 0 }),
        ("{id:digit*}", Problem::Place { at: 0 }),
        ("{i d:digit}", Problem::Place { at: 0 }),
        ("{id:digit*65}", Problem::TooLong { len: 65, limit: 64 }),
        ("{id:any*33}", Problem::TooLong { len: 66, limit: 64 }),
        ("{id:digit}{x:any*1024}", Problem::TooLong { len: 1025, limit: 1024 }),
        (r"\q{id:digit}", Problem::Escape { at: 0 }),
    ] {
        assert_eq!(Pattern::new(text), Err(problem), "{text}");
    }
}
