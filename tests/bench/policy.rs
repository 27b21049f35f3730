//! What an audit policy costs: to decide what is kept of an event, and to take the rest out of it.
//!
//! Real events, one after the other, in memory; the policy is that of GCE's control planes. The CPU time of this thread
//! counts.

use std::hint::black_box;
use std::sync::Arc;

use anyhow::Context as _;
use audit_shipper::demo::replay::Replay;
use audit_shipper::event::{Event, Parts};
use audit_shipper::policy::{Effect, Evaluator, Policy};

use crate::Bench;
use crate::process::own_cpu_seconds;
use crate::report::{Bar, float, megabytes, median};

const GCE: &str = include_str!("../data/policy/gce.yaml");
/// The same without bodies, so that there is something to take out.
const METADATA: &str = "apiVersion: audit.k8s.io/v1\nrules: [{ level: Metadata, omitManagedFields: true }]\n";
/// And with bodies, but without the fields that are managed in them, for which all of a body has to be looked at.
const MANAGED: &str =
    "apiVersion: audit.k8s.io/v1\nrules: [{ level: RequestResponse, omitManagedFields: true }]\n";
const LINES: u64 = 1000;
const TIMES: u64 = 200;
const ROUNDS: usize = 7;
const MOST_MICROSECONDS: f64 = 1.0;

struct Line {
    text: Vec<u8>,
    event: Event<'static>,
    parts: Parts,
}
