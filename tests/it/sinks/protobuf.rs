//! Protocol Buffers as they are on the wire, read without the program's own code.

/// A field's value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// All fields of a message with their numbers.
pub(super) fn fields(mut message: &[u8]) -> Vec<(u64, Value<'_>)> {
    let mut fields = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message);
        let value = match key & 7 {
            0 => Value::Number(varint(&mut message)),
            1 => Value::Number(u64::from_le_bytes(take(&mut message, 8).try_into().unwrap())),
            2 => {
                let length = varint(&mut message);
                Value::Bytes(take(&mut message, length.try_into().unwrap()))
            }
            5 => Value::Number(u32::from_le_bytes(take(&mut message, 4).try_into().unwrap()).into()),
            other => panic!("wire type {other}"),
        };
        fields.push((key >> 3, value));
    }
    fields
}

/// The messages, strings or bytes in the fields of this number.
pub(super) fn all(message: &[u8], number: u64) -> Vec<&[u8]> {
    let bytes = |(found, value)| match value {
        Value::Bytes(bytes) if found == number => Some(bytes),
        _ => None,
    };
    fields(message).into_iter().filter_map(bytes).collect()
}

/// The only one of them.
pub(super) fn one(message: &[u8], number: u64) -> &[u8] {
    let all = all(message, number);
    assert_eq!(all.len(), 1, "field {number}");
    all[0]
}

pub(super) fn text(message: &[u8], number: u64) -> String {
    String::from_utf8(one(message, number).to_vec()).unwrap()
}

/// 0 if it is not there.
pub(super) fn number(message: &[u8], number: u64) -> u64 {
    let found = fields(message).into_iter().find(|(found, _)| *found == number);
    match found {
        None => 0,
        Some((_, Value::Number(value))) => value,
        other => panic!("{other:?} is no number"),
    }
}

fn varint(message: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(message, 1)[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return value;
        }
    }
    panic!("a number of more than 64 bits");
}

fn take<'a>(message: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, rest) = message.split_at(count);
    *message = rest;
    taken
}
