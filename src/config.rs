//! The checked configuration: what `run` works with once every mistake has been ruled out.
//!
//! Three sources end here: kube-apiserver's `--audit-*` flags, their `AUDIT_SHIPPER_*` variables, and the YAML file.
//! A value given as a flag wins over the variable, which wins over the file, which wins over kube-apiserver's `manifest` if
//! the file names it, which wins over the default.
//! Raw input and checked configuration are different types, so that nothing past this module meets an unchecked value.
//!
//! In reading order: `load` merges the sources with the help of `output` and `log_flags`; these read the file through
//! `section`, one `value` at a time, whose spelling `quantity` knows; `report` collects what is wrong; [`to_yaml`] prints
//! the result. `settings` is what [`crate::flags`] hands over, `yaml` is the file.

mod destination;
mod elasticsearch;
mod encoding;
mod file;
mod host_name;
mod identity;
mod live_view;
mod load;
mod log_flags;
mod loki;
mod manifest;
mod ndjson;
mod node_address;
mod otlp;
mod output;
mod print;
mod quantity;
mod redact;
mod report;
mod rotation;
mod routing;
mod section;
mod server;
mod settings;
mod sls;
mod splunk_hec;
mod value;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::policy::Match;
use crate::source::format;

pub use self::destination::{Compression, Destination, Requests};
pub use self::elasticsearch::{DocumentMode, Elasticsearch};
pub use self::encoding::Encoding;
pub use self::file::File;
pub(crate) use self::host_name::host_name;
pub(crate) use self::identity::IDENTITY_VARIABLES;
pub use self::identity::Identity;
pub use self::live_view::{Listen, LiveView};
pub(crate) use self::load::{default_state_dir, load};
pub use self::loki::{Loki, TooOld};
pub use self::ndjson::{Format, Ndjson};
pub use self::otlp::{BodyForm, Otlp};
pub use self::output::is_name;
pub use self::print::to_yaml;
pub(crate) use self::print::{quoted, show_path};
pub(crate) use self::quantity::{boolean, duration, int, show_duration};
pub(crate) use self::redact::key_files;
pub use self::report::Errors;
pub(crate) use self::report::Origin;
pub use self::rotation::Rotation;
pub(crate) use self::section::closest;
pub use self::server::{Login, Server, ServerTls};
pub(crate) use self::settings::{DEPRECATED_BACKOFF, INITIAL_BACKOFF, Setting, Settings};
pub use self::sls::{Sls, SlsCompression, SlsTime};
pub use self::splunk_hec::{Ack, SplunkHec};
pub(crate) use self::value::FILL_IN;

/// A configuration without mistakes, and what else the sources said.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// Everything `run` needs to know.
    pub config: Config,
    /// What is legal, and yet worth telling; one line each, beginning with the flag or field.
    pub warnings: Vec<String>,
    /// How our own log is written.
    pub log_format: LogFormat,
    /// The file that it was read from, if there is one.
    pub file: Option<PathBuf>,
}

/// How our own log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Everything `run` needs to know.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The log that is tailed.
    pub source: Source,
    /// Where events go; never empty, names are unique.
    pub outputs: Vec<Output>,
    /// Directory of cursors and rejected events, held by one daemon at a time.
    pub state_dir: PathBuf,
    /// Address of `/metrics`, `/healthz`, `/livez` and `/readyz`, and of the live view if it is loopback; port 0 takes any.
    pub bind_address: SocketAddr,
    /// A listener for the live view; `None`: it is at `bind_address` alone, if that is loopback.
    pub live_view: Option<LiveView>,
    /// How long requests in flight may take to finish after SIGTERM or SIGINT.
    pub shutdown_grace: Duration,
}

impl Config {
    /// The output of this name.
    #[must_use]
    pub fn output(&self, name: &str) -> Option<&Output> {
        self.outputs.iter().find(|output| output.name == name)
    }
}

/// `source.maxLineBytes` where nothing else is said.
pub const DEFAULT_MAX_LINE_BYTES: NonZeroUsize = NonZeroUsize::new(16 << 20).expect("it is not zero");

/// The log that is tailed.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// The file that kube-apiserver writes (`--audit-log-path`); its backups lie beside it.
    pub path: PathBuf,
    /// kube-apiserver's static pod manifest, which says what nothing else says, and is read again when it changes.
    pub manifest: Option<PathBuf>,
    /// What the files of the log are made of.
    pub format: format::Format,
    /// Where an output begins that has never had a cursor.
    pub start_at: StartAt,
    /// A line with more bytes than this is set aside as `too_large`, never held in memory.
    pub max_line_bytes: NonZeroUsize,
    /// How much of what was deleted before it was read is held.
    pub pins: Pins,
    /// How others rotate and delete it.
    pub rotation: Rotation,
}

/// How much is held of files that were deleted before they were read, and that nobody else holds any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pins {
    /// Bytes of all of them at most.
    pub limit: u64,
    /// How many of them at most.
    pub max_files: usize,
    /// With less free space than this on the log's file system, the oldest of them goes.
    pub min_free: MinFree,
}

impl Default for Pins {
    fn default() -> Self {
        Self { limit: 2 << 30, max_files: 512, min_free: MinFree::Percent(10) }
    }
}

impl Pins {
    /// The defaults, however full the disk is.
    #[must_use]
    pub fn on_any_disk() -> Self {
        Self { min_free: MinFree::Bytes(0), ..Self::default() }
    }
}

/// Free space of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MinFree {
    /// As a share of its size, 0 to 100.
    Percent(u8),
    /// In bytes.
    Bytes(u64),
}

impl MinFree {
    /// The same in bytes, of a file system of this size.
    #[must_use]
    pub fn bytes_of(self, file_system_bytes: u64) -> u64 {
        match self {
            Self::Percent(percent) => file_system_bytes / 100 * u64::from(percent),
            Self::Bytes(bytes) => bytes,
        }
    }
}

/// Where an output begins that has never had a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartAt {
    /// At the oldest backup that is still there.
    Oldest,
    /// At the end of the live file.
    Newest,
}

/// One destination, with its own cursor and pace.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// Names the cursor file and the `output` label; `[a-z0-9]([-a-z0-9]*[a-z0-9])?`, at most 63 bytes.
    pub name: String,
    /// Where events go.
    pub destination: Destination,
    /// How requests are made.
    pub requests: Requests,
    /// How events are grouped.
    pub batch: Batch,
    /// What is masked before events leave.
    pub redact: Redact,
    /// How large events are made to fit.
    pub truncate: Truncate,
    /// Requests at a time; they are settled in order.
    pub max_in_flight: NonZeroUsize,
    /// Bytes of events held in memory, read ahead plus in flight.
    pub max_memory: NonZeroUsize,
    /// Which events it takes; `None`: all.
    pub takes: Option<Arc<Match>>,
    /// The audit policy that decides which events are shipped, and how much of them; `None`: all, as they are.
    pub policy_file: Option<PathBuf>,
    /// Whether the stream holds a record of each gap, an event of our own.
    pub gap_records: bool,
    /// The file of events that the endpoint will never take.
    pub rejected: Rejected,
    /// Where the endpoint is told that events come from.
    pub identity: Identity,
    /// `/readyz` fails when the log grew and nothing was acknowledged for this long.
    pub ready_after: Duration,
}

/// How events are grouped into requests.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// `--audit-webhook-mode`.
    pub mode: Mode,
    /// Events held in memory at most, read ahead plus in flight.
    pub buffer_size: NonZeroUsize,
    /// Events in one request at most; never more than `buffer_size`. 1 in the blocking modes.
    pub max_size: NonZeroUsize,
    /// How long the first event of a batch waits for others.
    pub max_wait: Duration,
    /// `None`: as fast as the endpoint takes them. Always `None` in the blocking modes.
    pub throttle: Option<Throttle>,
}

/// `--audit-webhook-mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Many events a request, several requests at a time.
    Batch,
    /// One event a request; the next is read when it is settled.
    Blocking,
    /// As `Blocking`, and an event that the endpoint refuses is never set aside.
    BlockingStrict,
}

/// A token bucket that starts full: `burst` batches at once, then `qps` batches a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Throttle {
    /// Batches a second on average; finite and above 0, fractions are legal.
    pub qps: f64,
    /// Batches at once when `qps` was not used.
    pub burst: std::num::NonZeroU32,
}

/// What is masked before events leave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each stands for a field of the file")]
pub struct Redact {
    /// Whether anything is.
    pub enabled: bool,
    /// The key, shared by all masters; `None`: one of this state directory.
    pub key_file: Option<PathBuf>,
    /// Whether the values of all ConfigMaps are.
    pub config_maps: bool,
    /// Whether the values of environment variables are.
    pub pod_env: bool,
    /// Whether `managedFields` are left out.
    pub managed_fields: bool,
}

/// How large events are made to fit.
#[derive(Debug, Clone, PartialEq)]
pub struct Truncate {
    /// Whether events above `max_event_size` are cut.
    pub enabled: bool,
    /// Bytes of an event's log line with its newline; a line of exactly this size fits.
    pub max_event_size: NonZeroUsize,
    /// Bytes of one request's body, also when `enabled` is false; a single larger event goes alone.
    pub max_batch_size: NonZeroUsize,
}

/// The bounded file of events that were set aside.
#[derive(Debug, Clone, PartialEq)]
pub struct Rejected {
    /// Its size in bytes at most.
    pub max_size: u64,
    /// What happens when the next entry would exceed `max_size`.
    pub on_full: OnFull,
}

impl Default for Rejected {
    fn default() -> Self {
        Self { max_size: 256 << 20, on_full: OnFull::DropOldest }
    }
}

/// What happens when the file of rejected events is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFull {
    /// The oldest entries go, counted as lost.
    DropOldest,
    /// The output waits until an operator makes room.
    Wait,
}

#[cfg(test)]
mod tests;
