//! The index template that documents need: an index without it maps fields as they come, and refuses events soon, since
//! the bodies of requests hold whatever clients send.
//!
//! So nothing is mapped that is not named here, but annotations, of which a cluster has a limited number. Bodies are one
//! field: in Elasticsearch it can be searched; in OpenSearch, whose flat objects refuse a long value, it is only kept.

use serde::Deserialize;

use crate::config::{self, DocumentMode};

/// Above those of Elastic's integrations, which have 200.
const PRIORITY: u32 = 500;

/// Which of the two it is: their mappings differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Product {
    /// Elastic's.
    Elasticsearch,
    /// Its fork.
    OpenSearch,
}

impl Product {
    /// What the answer to `GET /` says; `None` if it is neither's.
    #[must_use]
    pub fn of_root(body: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Root {
            version: Version,
        }
        #[derive(Deserialize)]
        struct Version {
            number: String,
            distribution: Option<String>,
        }
        let version = serde_json::from_slice::<Root>(body).ok()?.version;
        match version.distribution.as_deref() {
            Some("opensearch") => Some(Self::OpenSearch),
            None if !version.number.is_empty() => Some(Self::Elasticsearch),
            _ => None,
        }
    }

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Elasticsearch => "Elasticsearch",
            Self::OpenSearch => "OpenSearch",
        }
    }

    /// The mapping of a body, which may be anything. Keywords longer than 32766 bytes are refused; deeper than 20 is no
    /// rarity, since definitions of custom resources are bodies too.
    fn body(self) -> &'static str {
        match self {
            Self::Elasticsearch => r#"{ "type": "flattened", "ignore_above": 1024, "depth_limit": 200 }"#,
            Self::OpenSearch => r#"{ "type": "object", "enabled": false }"#,
        }
    }

    /// The mapping of a few strings below names that may hold dots.
    fn strings(self) -> &'static str {
        match self {
            Self::Elasticsearch => r#"{ "type": "flattened", "ignore_above": 1024 }"#,
            Self::OpenSearch => r#"{ "type": "flat_object" }"#,
        }
    }
}

/// What the template for a data stream is called.
#[must_use]
pub fn name(config: &config::Elasticsearch) -> String {
    format!("audit-shipper-{}", config.data_stream)
}

/// The body of `PUT /_index_template/NAME`. `None` in mode `ecs-raw`: there, the template is Elastic's, and one of ours would
/// take the place of it and of its ingest pipeline.
#[must_use]
pub fn index_template(config: &config::Elasticsearch, product: Product) -> Option<String> {
    let (properties, annotations) = match config.mode {
        DocumentMode::Ecs => {
            (AROUND.replace("\"@event\"", &EVENT.replace('\n', "\n    ")), "kubernetes.audit.annotations.*")
        }
        DocumentMode::EcsRaw => return None,
        DocumentMode::Raw => (EVENT.replacen('{', BESIDE, 1), "annotations.*"),
    };
    let template = TEMPLATE
        .replace("@data_stream", &config.data_stream)
        .replace("@priority", &PRIORITY.to_string())
        .replace("@annotations", annotations)
        .replace("\"@properties\"", &properties.replace('\n', "\n      "))
        .replace("\"@body\"", product.body())
        .replace("\"@strings\"", product.strings())
        .replace("\"@keyword\"", r#"{ "type": "keyword", "ignore_above": 1024 }"#);
    Some(template)
}

const TEMPLATE: &str = r#"{
  "index_patterns": ["@data_stream"],
  "data_stream": {},
  "priority": @priority,
  "_meta": { "description": "Kubernetes audit events, by audit-shipper" },
  "template": {
    "settings": { "index": { "mapping": { "total_fields": { "limit": 2000 } } } },
    "mappings": {
      "dynamic": false,
      "date_detection": false,
      "numeric_detection": false,
      "dynamic_templates": [
        { "annotations": { "path_match": "@annotations", "match_mapping_type": "string", "mapping": "@keyword" } }
      ],
      "properties": "@properties"
    }
  }
}
"#;

const AROUND: &str = r#"{
  "@timestamp": { "type": "date" },
  "data_stream": { "properties": { "type": "@keyword", "dataset": "@keyword", "namespace": "@keyword" } },
  "ecs": { "properties": { "version": "@keyword" } },
  "orchestrator": {
    "properties": { "type": "@keyword", "cluster": { "properties": { "name": "@keyword" } } }
  },
  "host": { "properties": { "name": "@keyword", "hostname": "@keyword" } },
  "event": { "properties": { "kind": "@keyword", "dataset": "@keyword", "action": "@keyword", "outcome": "@keyword" } },
  "user": { "properties": { "name": "@keyword", "id": "@keyword" } },
  "user_agent": { "properties": { "original": "@keyword" } },
  "source": { "properties": { "ip": { "type": "ip", "ignore_malformed": true } } },
  "client": { "properties": { "ip": { "type": "ip", "ignore_malformed": true } } },
  "log": { "properties": { "file": { "properties": { "path": "@keyword" } }, "offset": { "type": "long" } } },
  "kubernetes": { "properties": { "audit": { "properties": "@event" } } }
}"#;

/// What mode `raw` has in front of an event's own fields.
const BESIDE: &str = r#"{
  "@timestamp": { "type": "date" },
  "auditShipper": { "properties": { "source": "@keyword", "cluster": "@keyword", "node": "@keyword" } },"#;

const EVENT: &str = r#"{
  "kind": "@keyword",
  "apiVersion": "@keyword",
  "level": "@keyword",
  "auditID": "@keyword",
  "stage": "@keyword",
  "requestURI": "@keyword",
  "verb": "@keyword",
  "user": {
    "properties": { "username": "@keyword", "uid": "@keyword", "groups": "@keyword", "extra": "@strings" }
  },
  "impersonatedUser": {
    "properties": { "username": "@keyword", "uid": "@keyword", "groups": "@keyword", "extra": "@strings" }
  },
  "sourceIPs": "@keyword",
  "userAgent": "@keyword",
  "objectRef": {
    "properties": {
      "resource": "@keyword",
      "namespace": "@keyword",
      "name": "@keyword",
      "uid": "@keyword",
      "apiGroup": "@keyword",
      "apiVersion": "@keyword",
      "resourceVersion": "@keyword",
      "subresource": "@keyword"
    }
  },
  "responseStatus": {
    "properties": {
      "code": { "type": "integer", "ignore_malformed": true },
      "status": "@keyword",
      "reason": "@keyword",
      "message": { "type": "text" }
    }
  },
  "requestObject": "@body",
  "responseObject": "@body",
  "requestReceivedTimestamp": { "type": "date", "ignore_malformed": true },
  "stageTimestamp": { "type": "date", "ignore_malformed": true },
  "annotations": { "type": "object", "dynamic": true }
}"#;

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::sink::elasticsearch::tests::config;

    /// A mapping, as the servers read it.
    #[derive(Debug, Deserialize, Default)]
    #[serde(default, deny_unknown_fields)]
    struct Mapping {
        r#type: Option<String>,
        properties: HashMap<String, Mapping>,
        ignore_above: Option<u32>,
        ignore_malformed: Option<bool>,
        depth_limit: Option<u32>,
        dynamic: Option<bool>,
        enabled: Option<bool>,
        date_detection: Option<bool>,
        numeric_detection: Option<bool>,
        dynamic_templates: Vec<HashMap<String, Dynamic>>,
    }

    #[derive(Debug, Deserialize)]
    struct Dynamic {
        path_match: String,
        mapping: Mapping,
    }

    #[derive(Debug, Deserialize)]
    struct Put {
        index_patterns: Vec<String>,
        priority: u32,
        template: Template,
    }

    #[derive(Debug, Deserialize)]
    struct Template {
        mappings: Mapping,
    }

    fn template(mode: DocumentMode, product: Product) -> Put {
        let config = config::Elasticsearch { mode, ..config() };
        let text = index_template(&config, product).unwrap();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    impl Mapping {
        fn at(&self, path: &str) -> &Self {
            path.split('.').fold(self, |mapping, name| &mapping.properties[name])
        }

        /// All below it that is mapped.
        fn all(&self) -> Vec<&Self> {
            let below = self.properties.values().flat_map(Self::all);
            [self].into_iter().chain(below).collect()
        }
    }

    #[test]
    fn nothing_that_a_client_chooses_is_mapped_as_it_comes() {
        for mode in [DocumentMode::Ecs, DocumentMode::Raw] {
            for product in [Product::Elasticsearch, Product::OpenSearch] {
                let template = template(mode, product);
                assert_eq!(template.index_patterns, ["logs-kubernetes.audit_logs-default"]);
                assert!(template.priority > 200);
                let mappings = template.template.mappings;
                assert_eq!(mappings.dynamic, Some(false));
                assert_eq!((mappings.date_detection, mappings.numeric_detection), (Some(false), Some(false)));
                let prefix = if mode == DocumentMode::Ecs { "kubernetes.audit." } else { "" };
                let at = |path: &str| mappings.at(&format!("{prefix}{path}"));
                for body in ["requestObject", "responseObject"] {
                    match product {
                        Product::Elasticsearch => assert_eq!(at(body).depth_limit, Some(200)),
                        Product::OpenSearch => assert_eq!(at(body).enabled, Some(false)),
                    }
                }
                for mapping in mappings.all() {
                    let bounded = matches!(mapping.r#type.as_deref(), Some("keyword" | "flattened"));
                    assert_eq!(mapping.ignore_above, bounded.then_some(1024), "{mapping:?}");
                }
                let dynamic: Vec<_> =
                    mappings.all().into_iter().filter(|m| m.dynamic == Some(true)).collect();
                assert_eq!(dynamic.len(), 1);
                assert_eq!(at("annotations").dynamic, Some(true));
                let rule = &mappings.dynamic_templates[0]["annotations"];
                assert_eq!(rule.path_match, format!("{prefix}annotations.*"));
                assert_eq!(rule.mapping.ignore_above, Some(1024));
            }
        }
    }

    #[test]
    fn where_events_come_from_can_be_searched_for() {
        let ecs = ["orchestrator.cluster.name", "host.name", "host.hostname", "log.file.path"];
        let raw = ["auditShipper.cluster", "auditShipper.node", "auditShipper.source"];
        for product in [Product::Elasticsearch, Product::OpenSearch] {
            for (mode, paths) in [(DocumentMode::Ecs, &ecs[..]), (DocumentMode::Raw, &raw)] {
                let mappings = template(mode, product).template.mappings;
                for path in paths {
                    assert_eq!(mappings.at(path).r#type.as_deref(), Some("keyword"), "{path}");
                }
            }
        }
    }

    #[test]
    fn elastics_own_template_is_left_alone() {
        let config = config::Elasticsearch { mode: DocumentMode::EcsRaw, ..config() };
        assert_eq!(index_template(&config, Product::Elasticsearch), None);
    }

    #[test]
    fn the_root_says_who_it_is() {
        let of = |body: &str| Product::of_root(body.as_bytes());
        let elastic = r#"{"name":"n","version":{"number":"9.1.0","build_flavor":"default"},"tagline":"You Know, for Search"}"#;
        assert_eq!(of(elastic), Some(Product::Elasticsearch));
        let open = r#"{"version":{"distribution":"opensearch","number":"7.10.2"}}"#;
        assert_eq!(of(open), Some(Product::OpenSearch));
        for none in
            ["", "<html>", "{}", r#"{"version":"1"}"#, r#"{"version":{"distribution":"x","number":"1"}}"#]
        {
            assert_eq!(of(none), None, "{none}");
        }
    }
}
