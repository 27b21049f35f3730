//! Destinations other than the webhook, each against a fake of its protocol.

mod ndjson;
mod sls;
