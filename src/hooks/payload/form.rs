//! `application/x-www-form-urlencoded`.

/// The value of a field, decoded; none if the form has no such field, or an escape in it is malformed.
pub(super) fn field(form: &[u8], name: &str) -> Option<Vec<u8>> {
    form.split(|byte| *byte == b'&').find_map(|pair| {
        let mut parts = pair.splitn(2, |byte| *byte == b'=');
        let key = decode(parts.next()?)?;
        if key == name.as_bytes() { decode(parts.next().unwrap_or_default()) } else { None }
    })
}

fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, more)) = rest.split_first() {
        rest = more;
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let (digits, behind) = more.split_first_chunk::<2>()?;
                rest = behind;
                let [high, low] = digits.map(|digit| (digit as char).to_digit(16));
                u8::try_from(high? << 4 | low?).ok()?
            }
            byte => *byte,
        });
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_and_decoded() {
        let found = |form: &str| field(form.as_bytes(), "payload").map(|bytes| String::from_utf8(bytes).unwrap());
        assert_eq!(found("payload=%7B%22a%22%3a1%7d").as_deref(), Some("{\"a\":1}"));
        assert_eq!(found("a=b&payload=a+b%2Bc=d&payload=2").as_deref(), Some("a b+c=d"));
        assert_eq!(found("payload").as_deref(), Some(""));
        assert_eq!(found("%70ayload=x").as_deref(), Some("x"));
        for none in ["", "a=b", "payloads=x", "payload=%", "payload=%1", "payload=%gg", "payload=%+1"] {
            assert_eq!(found(none), None, "{none}");
        }
    }
}
