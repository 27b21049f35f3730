//! SLS, of which an event is the values of its members.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::contents;
use super::fake::{Account, LogGroup, refusal};
use crate::sinks::suite::Protocol;
use crate::support::endpoint::Answer;
use crate::support::http1::Recorded;
use crate::support::shipper::POISON;
use crate::support::workdir::Workdir;

/// It wants one of the two signatures.
#[derive(Default)]
pub(in crate::sinks) struct Sls<const IS_V4: bool = false>(Mutex<Vec<String>>);

pub(in crate::sinks) type SlsV4 = Sls<true>;

impl<const IS_V4: bool> Sls<IS_V4> {
    fn account() -> Account {
        Account { region: IS_V4.then_some(REGION), ..Account::new() }
    }
}

const REGION: &str = "cn-hangzhou";

fn text(contents: BTreeMap<String, String>) -> String {
    contents.into_iter().fold(String::new(), |text, (key, value)| text + &format!("{key}={value}\n"))
}

impl<const IS_V4: bool> Protocol for Sls<IS_V4> {
    const SECTION: &'static str = "sls";
    const TOKEN: (&'static str, &'static str) = ("accessKeySecretFile", "");

    fn fields(workdir: &Workdir) -> String {
        let id = workdir.path("id");
        std::fs::write(&id, Self::account().id).unwrap();
        let fields = format!("project: proj, logstore: audit-c01, accessKeyIdFile: \"{}\"", id.display());
        if IS_V4 { format!("{fields}, region: {REGION}") } else { fields }
    }

    /// The secret signs; it is never sent.
    fn is_known(request: &Recorded, secret: &'static str) -> bool {
        Account { secret, ..Self::account() }.signed(request).is_ok()
    }

    fn stranger() -> Answer {
        Self::account().answer(Some(&refusal(401, "SignatureNotMatch", "signature does not match")))
    }

    fn too_large() -> Answer {
        Self::account().answer(Some(&refusal(400, "PostBodyTooLarge", "body is too large")))
    }

    fn troubles(_events: usize) -> Vec<Answer> {
        [
            (503, "ServerBusy", "the server is busy"),
            (403, "ShardWriteQuotaExceed", "Shard write quota exceed"),
            (403, "ExceedQuota", "Inflow Quota Exceed"),
            (404, "LogStoreNotExist", "logstore does not exist"),
        ]
        .map(|(status, code, message)| Self::account().answer(Some(&refusal(status, code, message))))
        .into()
    }

    fn form(line: &str) -> String {
        text(contents(line))
    }

    fn events(&self, request: &Recorded) -> Vec<String> {
        Self::account().group(request).map_or(Vec::new(), |group| group.events().map(text).collect())
    }

    fn told(&self, request: &Recorded) -> Vec<(String, String)> {
        let group = Self::account().group(request).unwrap();
        group.tags.into_iter().map(|tag| (tag.key, tag.value)).collect()
    }

    fn take(&self, request: &Recorded) -> Answer {
        let group = Self::account().group(request).and_then(|group| {
            let mut contents = group.logs.iter().flat_map(|log| &log.contents);
            if contents.any(|pair| pair.value.contains(POISON)) {
                return Err(refusal(400, "InvalidEncoding", "the encoding is not UTF-8"));
            }
            Ok(group)
        });
        let answer = Self::account().answer(group.as_ref().err());
        self.0.lock().unwrap().extend(group.into_iter().flat_map(LogGroup::events).map(text));
        answer
    }

    fn stored(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}
