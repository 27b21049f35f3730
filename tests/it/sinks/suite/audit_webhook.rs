//! The audit webhook, which is configured by a kubeconfig.

use std::sync::Mutex;

use super::{Protocol, Way};
use crate::support::endpoint::{Answer, lines};
use crate::support::http1::Recorded;
use crate::support::shipper::{POISON, Shipper};

#[derive(Default)]
pub(super) struct AuditWebhook(Mutex<Vec<String>>);

impl Protocol for AuditWebhook {
    const SECTION: &'static str = "webhook";
    const SHOWS_TOKEN_IN_CLEAR: bool = false;
    const PATH: &'static str = "/audit";

    fn configured(shipper: Shipper, way: &Way) -> Shipper {
        let cluster = [
            way.authority.as_ref().map(|path| format!("certificate-authority: {}", path.display())),
            way.proxy.as_ref().map(|url| format!("proxy-url: {url}")),
        ];
        let cluster: Vec<String> = cluster.into_iter().flatten().collect();
        let user = format!("tokenFile: {}", way.token.display());
        shipper.workdir.kubeconfig_with(&way.url, &cluster.join("\n"), &user);
        shipper
            .webhook(&format!("timeout: {}, initialBackoff: 5ms, maxBackoff: 50ms", way.timeout))
            .flag("audit-webhook-initial-backoff", "5ms")
    }

    fn events(&self, request: &Recorded) -> Vec<String> {
        assert_eq!(request.header("content-type"), Some("application/json"));
        lines(request)
    }

    fn take(&self, request: &Recorded) -> Answer {
        let lines = self.events(request);
        if lines.iter().any(|line| line.contains(POISON)) {
            return Answer::status(400);
        }
        self.0.lock().unwrap().extend(lines);
        Answer::ok()
    }

    fn stored(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}
