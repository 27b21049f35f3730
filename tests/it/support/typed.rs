//! Events as typed structs: an independent way to what the program tells of them.

use std::collections::HashMap;

use serde::Deserialize;

/// What commands look at.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Typed {
    pub(crate) level: String,
    pub(crate) stage: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    pub(crate) verb: String,
    pub(crate) user: User,
    user_agent: Option<String>,
    pub(crate) object_ref: Option<Object>,
    response_status: Option<Status>,
    pub(crate) stage_timestamp: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct User {
    pub(crate) username: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Object {
    pub(crate) resource: Option<String>,
    namespace: Option<String>,
    pub(crate) api_group: Option<String>,
    subresource: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Status {
    code: Option<u32>,
}

impl Typed {
    pub(crate) fn of(line: &str) -> Self {
        serde_json::from_str(line).unwrap()
    }

    /// The value of a key of `top`.
    pub(crate) fn value(&self, key: &str) -> Option<String> {
        let object = self.object_ref.as_ref();
        match key {
            "user" => self.user.username.clone(),
            "verb" => Some(self.verb.clone()),
            "agent" => self.user_agent.clone(),
            "level" => Some(self.level.clone()),
            "stage" => Some(self.stage.clone()),
            "namespace" => object?.namespace.clone(),
            "code" => self.response_status.as_ref()?.code.map(|code| code.to_string()),
            "resource" => Some(match object {
                None => self.request_uri.split('?').next().unwrap().to_owned(),
                Some(object) => {
                    let part = |mark: &str, part: &Option<String>| {
                        part.as_ref().map(|part| format!("{mark}{part}")).unwrap_or_default()
                    };
                    let group = part(".", &object.api_group);
                    part("", &object.resource) + &group + &part("/", &object.subresource)
                }
            }),
            other => panic!("{other}"),
        }
    }
}

/// Events and bytes by the values of `keys`.
pub(crate) fn counted(lines: &[String], keys: &[&str]) -> HashMap<Vec<Option<String>>, (u64, u64)> {
    let mut counted = HashMap::new();
    for line in lines {
        let event = Typed::of(line);
        let values = keys.iter().map(|key| event.value(key).filter(|value| !value.is_empty())).collect();
        let (events, bytes) = counted.entry(values).or_insert((0, 0));
        *events += 1;
        *bytes += line.len() as u64;
    }
    counted
}
