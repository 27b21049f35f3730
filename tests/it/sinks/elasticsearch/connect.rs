//! `check --connect` of Elasticsearch and OpenSearch: what the credentials may do is shown where the cluster tells it.

use super::fake::{Fake, TARGET};
use super::shipper;
use crate::connect::{assert_failed, connect, good, reached};
use crate::support::endpoint::{Answer, Endpoint};
use crate::support::http1::Recorded;
use crate::support::shipper::Shipper;

const STREAM: &str = "logs-kubernetes.audit_logs-default";

#[test]
fn a_cluster_that_tells_everything_is_good() {
    let fake = Fake::storing();
    let said = good(connect(&shipper(&fake, "compression: gzip")));
    for words in [
        "Elasticsearch answers",
        "`_bulk` knows the credentials, and misses documents only",
        &format!("the credentials allow to write to {STREAM}, and to make it"),
        &format!("data stream {STREAM} is there"),
        &format!("index template audit-shipper-{STREAM} is there"),
    ] {
        assert!(said.contains(&format!("  shown        {words}\n")), "{words}: {said}");
    }
    assert_eq!(fake.documents(), [""; 0]);
    assert_eq!(fake.endpoint.requests().len(), 5);
    // Elastic's own template is not ours to ask for.
    good(connect(&shipper(&fake, "mode: ecs-raw")));
    assert_eq!(fake.endpoint.requests().len(), 9);
}

/// What a cluster says to each of the requests.
#[derive(Clone)]
struct Cluster {
    root: (u16, &'static str),
    bulk: u16,
    privileges: (u16, String),
    stream: u16,
    template: u16,
}

fn told(write: bool, make: bool) -> (u16, String) {
    (200, format!(r#"{{"index":{{"{STREAM}":{{"create_doc":{write},"auto_configure":{make}}}}}}}"#))
}

impl Cluster {
    fn good() -> Self {
        let root = (200, r#"{"version":{"number":"8.19.0"}}"#);
        Self { root, bulk: 400, privileges: told(true, true), stream: 200, template: 200 }
    }

    fn start(self) -> (Shipper, Endpoint) {
        let endpoint = Endpoint::start(move |request: &Recorded, _| {
            let target = request.target.strip_prefix("/audit").unwrap();
            match target {
                "/" => Answer::with_body(self.root.0, self.root.1),
                TARGET => Answer::status(self.bulk),
                "/_security/user/_has_privileges" => {
                    Answer::with_body(self.privileges.0, self.privileges.1.as_str())
                }
                _ if target.starts_with("/_data_stream/") => Answer::status(self.stream),
                _ => Answer::status(self.template),
            }
        });
        let url = endpoint.url();
        let shipper = Shipper::new(&endpoint);
        let key = shipper.workdir.path("key");
        std::fs::write(&key, "s3cret").unwrap();
        let fields = format!("url: \"{url}\", apiKeyFile: \"{}\"", key.display());
        (shipper.sink("elasticsearch", &fields), endpoint)
    }
}

#[test]
fn what_only_an_event_would_show_is_not_called_good() {
    let good = Cluster::good;
    let opensearch = (200, r#"{"version":{"distribution":"opensearch","number":"2.19.1"}}"#);
    let no_handler = (400, r#"{"error":"no handler found for uri"}"#.to_owned());
    for (cluster, words) in [
        (Cluster { root: opensearch, privileges: no_handler, ..good() }, "whether the credentials may write"),
        (Cluster { root: (403, "{}"), ..good() }, "which product it is"),
        (Cluster { stream: 404, ..good() }, "it is not there yet"),
        (Cluster { template: 404, ..good() }, "`audit-shipper setup elasticsearch` installs it"),
        (Cluster { template: 403, ..good() }, "the cluster does not tell (status 403)"),
    ] {
        let (shipper, endpoint) = cluster.start();
        let said = reached(connect(&shipper));
        assert!(
            said.lines().any(|line| line.starts_with("  not shown ") && line.contains(words)),
            "{words}: {said}"
        );
        let requests = endpoint.requests();
        assert!(requests.iter().all(|request| request.header("authorization") == Some("ApiKey s3cret")));
        assert_eq!(requests.len(), 5);
    }
}

#[test]
fn what_is_wrong_ends_it() {
    let good = Cluster::good;
    for (cluster, wrong, to_do, asked) in [
        (Cluster { root: (401, "{}"), ..good() }, "status 401", "look at apiKeyFile (", 1),
        (
            Cluster { root: (200, "{}"), ..good() },
            "neither Elasticsearch nor OpenSearch",
            "look at url of ",
            1,
        ),
        (Cluster { bulk: 405, ..good() }, "status 405", "look at url of ", 2),
        (
            Cluster { privileges: told(false, true), ..good() },
            "do not allow to write to",
            "look at apiKeyFile (",
            3,
        ),
    ] {
        let (shipper, endpoint) = cluster.start();
        assert_failed(&connect(&shipper), wrong, to_do);
        assert_eq!(endpoint.requests().len(), asked);
    }
}
