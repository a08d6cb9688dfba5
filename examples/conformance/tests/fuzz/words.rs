//! Strings, numbers and other tokens that have hurt somebody before.

use fastrand::Rng;

use super::{json::Json, servers::NOW};

const STRINGS: [&str; 33] = [
    "",
    " ",
    "\0",
    "a\0b",
    "\u{1}",
    "\n",
    "\"",
    "\\",
    "'",
    "`",
    "/",
    "../../x",
    "%00",
    "%s%n",
    "{}",
    "[]",
    "null",
    "true",
    "-1",
    "1e999",
    "NaN",
    "__proto__",
    "constructor",
    "'; DROP TABLE tasks; --",
    "<script>",
    "\u{feff}",
    "\u{202e}abc",
    "\u{fffd}",
    "\u{ffff}",
    "é",
    "e\u{301}",
    "😀",
    "👩‍👩‍👧‍👦",
];

const INTEGERS: [&str; 20] = [
    "0",
    "1",
    "-1",
    "-0",
    "00",
    "01",
    "127",
    "2147483647",
    "2147483648",
    "4294967296",
    "9007199254740991",
    "9007199254740992",
    "9007199254740993",
    "999999999999999999",
    "9223372036854775806",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "18446744073709551615",
    "123456789012345678901234567890",
];

const OTHERS: [&str; 30] = [
    "1.0",
    "0.1",
    "-0.0",
    "1e2",
    "1E+2",
    "1e-400",
    "5e-324",
    "1.7976931348623157e308",
    "1e309",
    "-1e999",
    "1.",
    ".5",
    "+1",
    "1e",
    "0x10",
    "1_000",
    "NaN",
    "Infinity",
    "-Infinity",
    "undefined",
    "nul",
    "True",
    "null",
    "true",
    "false",
    "'a'",
    "\"\\ud800\"",
    "\"\\udc00\\ud800\"",
    "\"\\x\"",
    "/**/0",
];

/// A string of any kind.
pub fn text(rng: &mut Rng) -> String {
    match rng.u8(..80) {
        5.. => (*rng.choice(&STRINGS).unwrap()).to_owned(),
        // At the bounds of what a name may be.
        0 => "n".repeat(*rng.choice(&[1023, 1024, 1025]).unwrap()),
        1 => "é".repeat(*rng.choice(&[511, 512, 513]).unwrap()),
        2 => "x".repeat(rng.usize(..5000)),
        3 | 4 => std::iter::repeat_with(|| rng.char(..)).take(5).collect(),
    }
}

/// A string that names anything: not empty, not long, and without a NUL.
pub fn name(rng: &mut Rng) -> String {
    loop {
        let name = text(rng);
        if (1..=1024).contains(&name.len()) && !name.contains('\0') {
            return name;
        }
    }
}

/// A timestamp that is valid, often one at a bound.
pub fn timestamp(rng: &mut Rng) -> i64 {
    match rng.u8(..16) {
        0 => 0,
        1 => (1 << 53) - rng.i64(-1..=1),
        2 => i64::MAX - rng.i64(0..2),
        3 => NOW + 5 * 60 * 1000 + rng.i64(-1..=1),
        _ => NOW + rng.i64(-5..5),
    }
}

/// A token in the place of a value, most of them no JSON.
pub fn token(rng: &mut Rng) -> &'static str {
    let (integers, others) = (INTEGERS.len(), OTHERS.len());
    let place = rng.usize(..integers + others);
    INTEGERS.get(place).or_else(|| OTHERS.get(place - integers)).unwrap()
}

/// Any value, sound or not.
pub fn value(rng: &mut Rng) -> Json {
    match rng.u8(..10) {
        0..3 => Json::raw(token(rng)),
        3..5 => Json::Text(text(rng)),
        5 => Json::List((0..rng.usize(..3)).map(|_| value(rng)).collect()),
        6 => Json::Object((0..rng.usize(..3)).map(|_| (text(rng), value(rng))).collect()),
        7 => Json::Encoded(Box::new(value(rng))),
        8 => nested(
            &Json::raw("0"),
            *rng.choice(&[1, 2, 3, 4, 125, 126, 127, 128, 129, 10_000]).unwrap(),
            rng,
        ),
        _ => Json::raw("null"),
    }
}

/// The value, so many levels deep.
pub fn nested(value: &Json, levels: usize, rng: &mut Rng) -> Json {
    let (open, close) = *rng.choice(&[("[", "]"), ("{\"a\":", "}"), ("[{\"\":", "}]")]).unwrap();
    let times = levels.div_ceil(open.matches(['[', '{']).count());
    let within = value.write(rng);
    Json::Raw(format!("{}{within}{}", open.repeat(times), close.repeat(times)))
}

/// A value that a column of a memory database holds.
pub fn sound_value(rng: &mut Rng) -> Json {
    const SOUND: [&str; 16] = [
        "null",
        "true",
        "false",
        "0",
        "-1",
        "-0",
        "9007199254740993",
        "9223372036854775807",
        "-9223372036854775808",
        "0.1",
        "-0.0",
        "1e2",
        "1E+2",
        "5e-324",
        "1e-400",
        "1.7976931348623157e308",
    ];
    match rng.u8(..12) {
        0..5 => Json::raw(rng.choice(&SOUND).unwrap()),
        5..9 => Json::Text(text(rng)),
        9 => Json::List((0..rng.usize(..3)).map(|_| sound_value(rng)).collect()),
        10 => {
            Json::Object((0..rng.usize(..3)).map(|n| (format!("{n}"), sound_value(rng))).collect())
        }
        _ => {
            let levels = *rng.choice(&[1, 2, 3, 4, 20, 100]).unwrap();
            nested(&Json::raw("0"), levels, rng)
        }
    }
}
