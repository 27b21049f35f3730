//! The name of an object in the query of a request that lists or watches: `?fieldSelector=metadata.name=NAME`.
//!
//! As kube-apiserver has it: Go reads the query and passes over what is malformed in it; of a parameter that is there
//! several times the first counts; and a query in which one of the numbers is none, or the selector cannot be understood,
//! selects no name. (One thing is not looked at, a malformed `labelSelector`: kube-apiserver answers it with 400.)

/// Puts the name that `query` asks for into `name`; nothing if it asks for none. `value` is used on the way.
pub(super) fn name(query: &[u8], value: &mut Vec<u8>, name: &mut Vec<u8>) {
    name.clear();
    let is_number = |value: &[u8]| str::from_utf8(value).is_ok_and(|text| text.parse::<i64>().is_ok());
    for number in [&b"limit"[..], b"timeoutSeconds"] {
        if parameter(query, number, value).is_some() && !is_number(value) {
            return;
        }
    }
    if parameter(query, b"fieldSelector", value).is_none()
        || exact_name(value, name).is_none()
        || !is_path_segment(name)
    {
        name.clear();
    }
}

/// The first value of a parameter, into `value`.
fn parameter(query: &[u8], wanted: &[u8], value: &mut Vec<u8>) -> Option<()> {
    query.split(|byte| *byte == b'&').find_map(|pair| {
        let equals = memchr::memchr(b'=', pair);
        let (key, raw) = equals.map_or((pair, &b""[..]), |at| (&pair[..at], &pair[at + 1..]));
        if pair.contains(&b';') {
            return None;
        }
        value.clear();
        unescape(key, b' ', value)?;
        if value != wanted {
            return None;
        }
        value.clear();
        unescape(raw, b' ', value)
    })
}

/// Adds `raw` to `out` without its percent escapes, and with `plus` in the place of `+`. `None` if an escape is wrong.
pub(super) fn unescape(raw: &[u8], plus: u8, out: &mut Vec<u8>) -> Option<()> {
    let mut rest = raw;
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        out.push(match byte {
            b'%' => {
                let (digits, behind) = rest.split_at_checked(2)?;
                rest = behind;
                let digit = |index: usize| char::from(digits[index]).to_digit(16);
                u8::try_from(digit(0)? << 4 | digit(1)?).ok()?
            }
            b'+' => plus,
            byte => *byte,
        });
    }
    Some(())
}

/// The name that a field selector requires, into `name`. `None` if it requires none or cannot be understood.
fn exact_name(selector: &[u8], name: &mut Vec<u8>) -> Option<()> {
    let mut first: Option<(&[u8], &[u8])> = None;
    for term in terms(selector).filter(|term| !term.is_empty()) {
        let (field, is_equal, value) = split_term(term)?;
        name.clear();
        unescape_value(value, name)?;
        // The terms are looked at in the order of their texts.
        if is_equal && field == b"metadata.name" && first.is_none_or(|(earlier, _)| term < earlier) {
            first = Some((term, value));
        }
    }
    name.clear();
    unescape_value(first?.1, name)
}

/// What is between commas; one behind a backslash separates nothing.
fn terms(selector: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut is_escaped = false;
    selector.split(move |byte| {
        let separates = !is_escaped && *byte == b',';
        is_escaped = !is_escaped && *byte == b'\\';
        separates
    })
}

/// The field, whether it must have the value (or must not), and the value.
fn split_term(term: &[u8]) -> Option<(&[u8], bool, &[u8])> {
    (0..term.len()).find_map(|at| {
        let (field, rest) = term.split_at(at);
        [(&b"!="[..], false), (b"==", true), (b"=", true)]
            .into_iter()
            .find_map(|(operator, is_equal)| Some((field, is_equal, rest.strip_prefix(operator)?)))
    })
}

/// Adds a value to `out` without its backslashes. `None` if they are wrong, or missing.
fn unescape_value(value: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut bytes = value.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => out.push(*bytes.next().filter(|byte| matches!(byte, b'\\' | b',' | b'='))?),
            b',' | b'=' => return None,
            byte => out.push(*byte),
        }
    }
    Some(())
}

/// Whether an object can have this name.
fn is_path_segment(name: &[u8]) -> bool {
    !matches!(name, b"." | b"..") && !name.contains(&b'/') && !name.contains(&b'%')
}

#[cfg(test)]
mod tests;
