//! The spaces that a live stream is asked for.

use percent_encoding::percent_decode;

use crate::{
    diff::check_name,
    error::{Error, shorten},
};

/// The greatest number of spaces of a stream.
const MAX_SPACES: usize = 100;

/// The values of all parameters `space`, in their order; `None` is the person's own data.
///
/// # Errors
/// [`Error::InvalidRequest`] for too many, the same twice, or what cannot be the name of a space.
pub(super) fn spaces(query: Option<&[u8]>) -> Result<Vec<Option<String>>, Error> {
    let mut spaces = Vec::new();
    for parameter in query.unwrap_or_default().split(|byte| *byte == b'&') {
        let mut halves = parameter.splitn(2, |byte| *byte == b'=');
        if decode(halves.next()).as_deref() != Ok("space") {
            continue;
        }
        let Ok(name) = decode(halves.next()) else {
            return Err(invalid("the name of a space is not UTF-8".to_owned()));
        };
        let space = if name.is_empty() { None } else { Some(name) };
        if let Some(name) = &space
            && let Err(reason) = check_name(name)
        {
            return Err(invalid(format!("the name of a space {reason}")));
        }
        if spaces.contains(&space) {
            return Err(invalid(match &space {
                Some(name) => format!("the space \"{}\" is named twice", shorten(name)),
                None => "the space \"\" is named twice".to_owned(),
            }));
        }
        if spaces.len() == MAX_SPACES {
            return Err(invalid(format!("there are more than {MAX_SPACES} spaces")));
        }
        spaces.push(space);
    }
    Ok(spaces)
}

fn invalid(reason: String) -> Error {
    Error::InvalidRequest(reason)
}

/// A name or value of a query, in which `+` is a blank.
fn decode(encoded: Option<&[u8]>) -> Result<String, std::string::FromUtf8Error> {
    let encoded = encoded.unwrap_or_default();
    let blanks: Vec<u8> =
        encoded.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    String::from_utf8(percent_decode(&blanks).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Vec<Option<String>>, String> {
        spaces(Some(query.as_bytes())).map_err(|error| {
            assert_eq!((error.status().as_u16(), error.code()), (400, "invalid_request"));
            error.to_string()
        })
    }

    fn named(names: &[&str]) -> Vec<Option<String>> {
        names.iter().map(|name| Some((*name).to_owned())).collect()
    }

    #[test]
    fn a_query_names_its_spaces_in_order() {
        assert_eq!(spaces(None).unwrap(), []);
        for (query, names) in [
            ("", &[][..]),
            ("&&", &[]),
            ("since=4&spaces=x", &[]),
            ("space=family&space=club", &["family", "club"]),
            ("a=b&space=club&space=family&&c", &["club", "family"]),
            ("space=caf%C3%A9+x%2By%26z%3D", &["café x+y&z="]),
            ("sp%61ce=a=b", &["a=b"]),
            ("space=%zz%4", &["%zz%4"]),
            ("space=%20", &[" "]),
        ] {
            assert_eq!(read(query), Ok(named(names)), "{query}");
        }
        for query in ["space", "space=", "space&x"] {
            assert_eq!(read(query), Ok(vec![None]), "{query}");
        }
    }

    #[test]
    fn what_names_no_spaces_is_refused() {
        let long = format!("space={}", "x".repeat(1025));
        for (query, reason) in [
            ("space=a&space=b&space=a", "the space \"a\" is named twice"),
            ("space=a+b&space=a%20b", "the space \"a b\" is named twice"),
            ("space&space=", "the space \"\" is named twice"),
            ("space=%FF", "the name of a space is not UTF-8"),
            ("space=%ED%A0%80", "the name of a space is not UTF-8"),
            ("space=a%00b", "the name of a space must not have a NUL in it"),
            (&long, "the name of a space must not be longer than 1,024 bytes"),
        ] {
            assert_eq!(read(query), Err(format!("The request is not valid: {reason}.")), "{query}");
        }
        let many = |count: usize| {
            let names: Vec<_> = (0..count).map(|number| format!("space={number}")).collect();
            read(&names.join("&"))
        };
        assert_eq!(many(100).unwrap().len(), 100);
        assert!(many(101).unwrap_err().contains("more than 100 spaces"));
    }
}
