//! One suite that every destination passes: whatever happens, each line of the log is stored there, or set aside if it is
//! wrong, and the books balance. What a destination has beyond that is tested in its own file.
//!
//! A test is a scenario at a destination: `cargo test --test it sinks::suite::loki::kill`.

mod audit_webhook;
mod bounds;
mod destination;
mod faults;
mod identity;
mod lives;
mod retried;
mod secured;
mod site;
mod treatment;
mod whole_logs;

pub(super) use destination::{Away, Destination, Repeated, wait_until_drained};
pub(super) use identity::{IDENTITY, assert_told};
pub(super) use site::{Protocol, Site, Way};

macro_rules! scenarios {
    ($name:ident: $($module:ident::{$($scenario:ident),+} of $destination:ty),+) => {
        mod $name {
            $($(
                #[test]
                fn $scenario() {
                    super::$module::$scenario::<$destination>();
                }
            )+)+
        }
    };
}

/// All of them, for what is spoken to by HTTP.
macro_rules! over_http {
    ($($name:ident: $protocol:ty;)+) => {$(
        scenarios!(
            $name:
            faults::{weather, trouble, wrong_events, too_large} of $protocol,
            bounds::{in_flight, memory} of $protocol,
            retried::{retried} of $protocol,
            identity::{identity} of $protocol,
            secured::{secured} of $protocol,
            bounds::{throttle} of super::Site<$protocol>,
            lives::{kill, rotation, stop} of super::Site<$protocol>,
            treatment::{treatment} of super::Site<$protocol>,
            whole_logs::{whole_logs} of super::Site<$protocol>
        );
    )+};
}

over_http! {
    webhook: crate::sinks::suite::audit_webhook::AuditWebhook;
    ndjson: crate::sinks::ndjson::destination::Ndjson;
    elasticsearch: crate::sinks::elasticsearch::destination::Elasticsearch;
    otlp: crate::sinks::otlp::destination::Otlp;
    loki: crate::sinks::loki::destination::Loki;
    splunk_hec: crate::sinks::splunk_hec::destination::SplunkHec;
    sls: crate::sinks::sls::destination::Sls;
}

// Each batch waits a second for its acknowledgement: here is what comes between that and the end of a batch.
scenarios!(
    splunk_hec_with_acks:
    bounds::{memory} of crate::sinks::splunk_hec::destination::Acknowledging,
    lives::{kill, stop} of super::Site<crate::sinks::splunk_hec::destination::Acknowledging>,
    retried::{retried} of crate::sinks::splunk_hec::destination::Acknowledging
);

// Another signature than that of the other scenarios.
scenarios!(
    sls_v4:
    faults::{trouble} of crate::sinks::sls::destination::SlsV4,
    secured::{secured} of crate::sinks::sls::destination::SlsV4
);

// A file has no connection that could break or be secured, and no answers: it refuses nothing, and what is in flight is
// one write.
scenarios!(
    file:
    bounds::{throttle} of crate::sinks::file::destination::File,
    identity::{no_identity} of crate::sinks::file::destination::File,
    lives::{kill, rotation, stop} of crate::sinks::file::destination::File,
    treatment::{treatment} of crate::sinks::file::destination::File,
    whole_logs::{whole_logs} of crate::sinks::file::destination::File
);

// Standard output has none of that either. Nobody can take its place away, so there is no outage; and half a line that a
// kill leaves there cannot be taken back.
scenarios!(
    stdout:
    bounds::{throttle} of crate::sinks::file::destination::Stdout,
    identity::{no_identity} of crate::sinks::file::destination::Stdout,
    lives::{stop} of crate::sinks::file::destination::Stdout,
    treatment::{treatment} of crate::sinks::file::destination::Stdout,
    whole_logs::{whole_logs} of crate::sinks::file::destination::Stdout
);
