//! Destinations other than the webhook, each against a fake of its protocol.

mod elasticsearch;
mod ndjson;
mod splunk_hec;
