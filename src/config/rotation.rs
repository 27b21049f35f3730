//! How the log is rotated, as far as anybody says: kube-apiserver's flags, the section `source.rotation`, its manifest.
//!
//! Nothing is done by it but to foresee when a rotator deletes what is not shipped yet (see `retention`).

use std::time::Duration;

use super::Source;
use super::quantity;
use super::report::Located;
use super::section::{Section, Sources};
use super::value::{Given, Raw};
use crate::source::format::Format;

/// What kube-apiserver is told: MiB of a file, a number of backups, days.
pub(super) const FLAGS: [&str; 3] = ["audit-log-maxsize", "audit-log-maxbackup", "audit-log-maxage"];
const DAY_SECONDS: u64 = 24 * 60 * 60;

/// How the log is rotated; `None` is what nobody says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rotation {
    /// Bytes of a file when it is rotated; 0 leaves it to the rotator.
    pub max_size: Option<u64>,
    /// Backups that are kept; 0 keeps all.
    pub max_backups: Option<u64>,
    /// How long backups are kept; 0 is for ever.
    pub max_age: Option<Duration>,
}

impl Source {
    /// Whether it is what a container writes, which is not rotated by who writes it.
    #[must_use]
    pub fn is_of_container(&self) -> bool {
        matches!(self.format, Format::Cri | Format::Docker) || self.path.to_string_lossy().contains('*')
    }
}

/// The flags speak of the file that kube-apiserver writes. What it writes to a container's log is rotated by others.
pub(super) fn read(source: &mut Section<'_>, of_container: bool) -> Rotation {
    let sources = source.sources;
    let mut section = source.section("rotation");
    let [size, backups, age] = FLAGS.map(|flag| {
        let above = told(sources, sources.flag(flag), flag);
        let of_manifest = sources.below.get(flag).map(|setting| Given {
            report: sources.report,
            origin: setting.origin.clone(),
            raw: Raw::Text(&setting.text),
        });
        let below = of_manifest.and_then(|given| told(sources, given, flag));
        if of_container { (None, None) } else { (above, below) }
    });
    let mebibytes = |count: u64| count.saturating_mul(1 << 20);
    let days = |count: u64| Duration::from_secs(count.saturating_mul(DAY_SECONDS));
    let given = section.value("maxSize", None);
    let max_size = given.is_given().then(|| not_negative(sources, &given.size(0)));
    let given = section.value("maxBackups", None);
    let max_backups = given.is_given().then(|| not_negative(sources, &given.int(0)));
    let given = section.value("maxAge", None);
    let max_age = given.is_given().then(|| given.duration(Duration::ZERO).value);
    section.finish();
    Rotation {
        max_size: size.0.map(mebibytes).or(max_size).or(size.1.map(mebibytes)),
        max_backups: backups.0.or(max_backups).or(backups.1),
        max_age: age.0.map(days).or(max_age).or(age.1.map(days)),
    }
}

/// What kube-apiserver is told with a flag, with its own words for what it refuses.
fn told(sources: Sources<'_>, given: Given<'_>, flag: &str) -> Option<u64> {
    given.is_given().then(|| {
        let count = given.int(0);
        u64::try_from(count.value).unwrap_or_else(|_| {
            let what = format!("--{flag} {} can't be a negative number", count.value);
            sources.report.mistake(&count.origin, what);
            0
        })
    })
}

fn not_negative(sources: Sources<'_>, count: &Located<i64>) -> u64 {
    u64::try_from(count.value).unwrap_or_else(|_| {
        let what = format!("{} is out of range; legal are numbers from 0 on", count.value);
        sources.report.mistake(&count.origin, what);
        0
    })
}

/// On one line, null for what nobody says.
pub(super) fn show(rotation: &Rotation) -> String {
    let none = || "~".to_owned();
    format!(
        "{{ maxSize: {}, maxBackups: {}, maxAge: {} }}",
        rotation.max_size.map_or_else(none, quantity::show_size),
        rotation.max_backups.map_or_else(none, |backups| backups.to_string()),
        rotation.max_age.map_or_else(none, quantity::show_duration),
    )
}
