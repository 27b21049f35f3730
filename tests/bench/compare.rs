//! `COMPARE=1`: other shippers and the same log, where they are installed. They pass lines on and look at none.
//!
//! syslog-ng posts to the same kind of endpoint. Debian's rsyslog cannot post, so it sends its lines over TCP.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::endpoint::Endpoint;
use crate::events::Log;
use crate::process::Process;
use crate::report::float;
use crate::stage::Drained;

/// One that gets no further for so long is done.
const QUIET: Duration = Duration::from_millis(300);
/// Separators may be fewer than the log's newlines.
const LEAST_ARRIVED: f64 = 0.999;

/// Another shipper.
pub(crate) struct Other {
    pub(crate) name: &'static str,
    program: &'static str,
    endpoint: fn() -> std::io::Result<Endpoint>,
    configuration: fn(log: &Path, endpoint: &Endpoint, own: &Path) -> String,
    arguments: fn(own: &Path) -> Vec<String>,
}

const OTHERS: [Other; 2] = [
    Other {
        name: "syslog-ng, lines passed on unread",
        program: "syslog-ng",
        endpoint: Endpoint::new,
        configuration: syslog_ng,
        arguments: |own| {
            let file = |flag: &str, name: &str| format!("--{flag}={}", own.join(name).display());
            vec![
                "--foreground".to_owned(),
                "--no-caps".to_owned(),
                file("cfgfile", "configuration"),
                file("persist-file", "persist"),
                file("pidfile", "pid"),
                file("control", "control"),
            ]
        },
    },
    Other {
        name: "rsyslog, lines passed on unread, over TCP",
        program: "rsyslogd",
        endpoint: Endpoint::plain,
        configuration: rsyslog,
        arguments: |own| {
            let path = |name: &str| own.join(name).display().to_string();
            vec!["-n".to_owned(), "-f".to_owned(), path("configuration"), "-i".to_owned(), path("pid")]
        },
    },
];

/// Those that are installed, if they are wanted.
pub(crate) fn others() -> Vec<Other> {
    if std::env::var_os("COMPARE").is_none() {
        return Vec::new();
    }
    let is_installed = |other: &Other| {
        let mut command = Command::new(other.program);
        command.arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    };
    OTHERS.into_iter().filter(is_installed).collect()
}

impl Other {
    pub(crate) fn drain(&self, log: &Log) -> anyhow::Result<Drained> {
        let (endpoint, own) = ((self.endpoint)()?, tempfile::tempdir()?);
        let configuration = (self.configuration)(&log.live(), &endpoint, own.path());
        std::fs::write(own.path().join("configuration"), configuration)?;
        let mut command = Command::new(self.program);
        command.args((self.arguments)(own.path())).stdin(Stdio::null()).stdout(Stdio::null());
        let mut process = Process::start(&mut command)?;
        loop {
            std::thread::sleep(QUIET / 10);
            let is_quiet = endpoint.last().is_some_and(|last| last + QUIET < Instant::now());
            if is_quiet && float(endpoint.body_bytes()) > float(log.bytes) * LEAST_ARRIVED {
                break;
            }
            process.must_run().with_context(|| format!("{}: {} bytes", self.name, endpoint.body_bytes()))?;
        }
        let drained = Drained {
            log_bytes: log.bytes,
            body_bytes: endpoint.body_bytes(),
            seconds: (endpoint.last().context("nothing came")? - process.started).as_secs_f64(),
            cpu_seconds: process.cpu_seconds()?,
            peak_rss_mib: process.peak_rss_mib()?,
        };
        process.kill()?;
        Ok(drained)
    }
}

fn syslog_ng(log: &Path, endpoint: &Endpoint, _own: &Path) -> String {
    format!(
        "@version: current\n\
         options {{ stats-freq(0); use-dns(no); keep-hostname(yes); log-msg-size(1048576); }};\n\
         source lines {{ file(\"{}\" flags(no-parse) log-fetch-limit(1000) log-iw-size(10000)); }};\n\
         destination webhook {{ http(url(\"http://{}/audit\") method(\"POST\") body(\"${{MESSAGE}}\") delimiter(\"\\n\") \
         batch-lines(400) batch-bytes(4194304) batch-timeout(100) workers(1)); }};\n\
         log {{ source(lines); destination(webhook); flags(flow-control); }};\n",
        log.display(),
        endpoint.address,
    )
}

fn rsyslog(log: &Path, endpoint: &Endpoint, own: &Path) -> String {
    format!(
        "global(workDirectory=\"{}\" maxMessageSize=\"1m\")\n\
         module(load=\"imfile\" mode=\"inotify\")\n\
         template(name=\"line\" type=\"string\" string=\"%msg%\")\n\
         input(type=\"imfile\" file=\"{}\" tag=\"audit\")\n\
         action(type=\"omfwd\" target=\"{}\" port=\"{}\" protocol=\"tcp\" template=\"line\")\n",
        own.display(),
        log.display(),
        endpoint.address.ip(),
        endpoint.address.port(),
    )
}
