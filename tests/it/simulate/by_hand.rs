//! What the policy of these tests does to an event, found out in another way than the program does.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::support::typed::Typed;

/// The fields of an event in their order.
struct Fields(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

/// Bytes of an event's line at another level. No event of ours has the annotations that go with a level.
pub(super) fn bytes_at(line: &str, level: &str) -> usize {
    let Fields(fields) = serde_json::from_str(line).unwrap();
    let is_kept = |key: &str| match key {
        "responseObject" => level == "RequestResponse",
        "requestObject" => level != "Metadata",
        _ => true,
    };
    let field = |(key, value): &(String, Box<RawValue>)| {
        let value = if key == "level" { format!("\"{level}\"") } else { value.get().to_owned() };
        is_kept(key).then(|| format!("\"{key}\":{value}"))
    };
    let fields: Vec<String> = fields.iter().filter_map(field).collect();
    format!("{{{}}}\n", fields.join(",")).len()
}

/// Which rule of [`super::POLICY`] an event meets.
pub(super) fn rule_of(event: &Typed) -> Option<usize> {
    let core = event.object_ref.as_ref().filter(|object| object.api_group.is_none());
    let resource = core.and_then(|_| event.value("resource")).unwrap_or_default();
    match event.verb.as_str() {
        _ if event.user.username.as_deref() == Some("system:apiserver") => Some(0),
        _ if ["secrets", "configmaps"].contains(&resource.as_str()) => Some(1),
        "list" | "watch" => Some(3),
        "create" | "update" | "patch" | "delete" => Some(4),
        _ => None,
    }
}
