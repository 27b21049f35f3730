//! A time in the cursor file, as text for people. Whatever it is, it is no reason not to read the cursor.

use jiff::Timestamp;
use serde::{Deserialize as _, Deserializer, Serializer};

#[expect(clippy::ref_option, reason = "serde asks for it")]
pub(super) fn serialize<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => serializer.collect_str(time),
        None => serializer.serialize_none(),
    }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.and_then(|text| text.parse().ok()))
}
