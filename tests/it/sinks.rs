//! Destinations other than the webhook, each against a fake of its protocol.

mod elasticsearch;
mod file;
mod loki;
mod ndjson;
mod otlp;
mod protobuf;
mod python;
mod sls;
mod splunk_hec;
mod suite;
