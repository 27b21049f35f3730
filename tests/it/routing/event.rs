//! What an event says, read by serde: what the tests judge the daemon by.

use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Event {
    #[serde(rename = "auditID")]
    pub(super) audit_id: String,
    pub(super) level: String,
    pub(super) stage: String,
    pub(super) verb: String,
    #[serde(rename = "requestURI")]
    pub(super) request_uri: String,
    pub(super) user: User,
    pub(super) object_ref: Option<Object>,
    response_status: Option<Status>,
}

#[derive(Deserialize)]
pub(super) struct User {
    pub(super) username: Option<String>,
    #[serde(default)]
    pub(super) groups: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Object {
    pub(super) api_group: String,
    pub(super) resource: String,
    pub(super) subresource: String,
    pub(super) namespace: String,
    pub(super) name: String,
}

#[derive(Deserialize)]
struct Status {
    code: Option<u16>,
}

impl Event {
    pub(super) fn read(line: &str) -> Self {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    pub(super) fn is_by(&self, name: &str) -> bool {
        self.user.username.as_deref() == Some(name)
    }

    pub(super) fn is_of_group(&self, name: &str) -> bool {
        self.user.groups.iter().any(|group| group == name)
    }

    /// Whether it is of one of these verbs.
    pub(super) fn is(&self, verbs: &[&str]) -> bool {
        verbs.contains(&self.verb.as_str())
    }

    /// Whether an object is requested of which this holds.
    pub(super) fn has(&self, object: impl Fn(&Object) -> bool) -> bool {
        self.object_ref.as_ref().is_some_and(object)
    }

    /// The code of the response; 0 if there is none yet.
    pub(super) fn code(&self) -> u16 {
        self.response_status.as_ref().and_then(|status| status.code).unwrap_or_default()
    }

    /// What no other event of a log has.
    pub(super) fn identity(&self) -> (String, String) {
        (self.audit_id.clone(), self.stage.clone())
    }
}
