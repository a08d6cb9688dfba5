//! Which token an `Authorization` header has, whatever it contains.

use mobync::http::Token;
use proptest::prelude::*;

fn token<'h>(headers: impl IntoIterator<Item = &'h [u8]>) -> Option<String> {
    Token::of_headers(headers).as_str().ok().map(str::to_owned)
}

fn one(header: impl AsRef<[u8]>) -> Option<String> {
    token([header.as_ref()])
}

#[test]
fn a_bearer_s_token_is_what_comes_after_the_blanks() {
    for header in ["Bearer ada", "bearer ada", "BEARER ada", "bEaReR \t ada \t", "\tBearer\tada"] {
        assert_eq!(one(header).as_deref(), Some("ada"), "{header:?}");
    }
    assert_eq!(one("Bearer Ünï").as_deref(), Some("Ünï"));
    assert_eq!(one("Bearer a b").as_deref(), Some("a b"));
    assert_eq!(one("Bearer \u{a0}a\u{a0}").as_deref(), Some("\u{a0}a\u{a0}"), "as it was sent");
}

#[test]
fn two_bearers_are_as_one_without_a_token() {
    let (ada, bob, basic) = (&b"Bearer ada"[..], &b"bearer bob"[..], &b"Basic YQ=="[..]);
    assert!(token([ada, bob]).is_none());
    assert!(token([ada, ada]).is_none());
    assert!(token([ada, b"Bearer"]).is_none());
    for headers in [vec![ada, basic], vec![basic, ada], vec![basic, ada, b""]] {
        assert_eq!(token(headers).as_deref(), Some("ada"));
    }
}

proptest! {
    #[test]
    fn what_is_not_utf_8_is_no_token(
        before in prop::collection::vec(0x21..0x7f_u8, 0..20),
        wrong in prop_oneof![
            // A lone byte of latin-1, a lone continuation, a truncated sequence, an overlong one, a
            // surrogate.
            (0x80..=0xff_u8).prop_map(|byte| vec![byte, b'.']),
            (0x80..0xc0_u8).prop_map(|byte| vec![byte]),
            (0xe1..0xf0_u8).prop_map(|byte| vec![byte, 0x80]),
            Just(b"\xc0\xaf".to_vec()),
            Just(b"\xed\xa0\x80".to_vec()),
            Just(b"\xf5\x80\x80\x80".to_vec()),
        ],
        behind in prop::collection::vec(0x21..0x7f_u8, 0..20),
    ) {
        let header = [&b"Bearer "[..], &before, &wrong, &behind].concat();
        prop_assert_eq!(one(header), None);
    }

    #[test]
    fn whatever_is_valid_comes_through_unchanged(name in "[!-~¡-ÿĀ-ſ]{1,40}") {
        prop_assert_eq!(one(format!("Bearer {name}")), Some(name));
    }
}
