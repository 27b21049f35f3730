//! Is there time enough? Whether retention leaves an hour, and whether each output may send as fast as the log was written.

use std::time::Duration;

use jiff::Timestamp;

use super::Findings;
use super::sample::{Pace, sample};
use crate::config::{Config, Output, Rotation};
use crate::retention::Forecast;
use crate::shown::{duration, size};
use crate::source::pins::PinSet;
use crate::source::tail::Tail;

/// With less than this nobody can get up and do something.
const SHORTEST_GRACE: Duration = Duration::from_secs(60 * 60);
/// Of what the throttle lets through; the rule of Kubernetes' own guide to auditing.
const HIGHEST_SHARE: f64 = 0.8;
/// So many bytes of a container without an event are odd.
const MUCH_WITHOUT_EVENTS: u64 = 1 << 20;
/// Clocks of one machine differ by less.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(5);

pub(super) fn look(config: &Config, findings: &mut Findings) {
    let sampled = sample(&config.source, &config.outputs);
    if let Some(newest) = sampled.newest {
        let ahead = newest.duration_since(Timestamp::now());
        if let Ok(ahead) = Duration::try_from(ahead)
            && ahead > CLOCK_TOLERANCE
        {
            findings.warning(
                format!("the newest event is {} ahead of the clock of this machine", duration(ahead)),
                "look at the clock (NTP): lag, certificates and signatures go by it",
            );
        }
    }
    // Beside events a container writes much else when it starts.
    let is_enough = config.source.format.is_plain() || sampled.bytes >= MUCH_WITHOUT_EVENTS;
    if sampled.events == 0 && sampled.bytes > 0 && is_enough {
        findings.warning(
            format!("there are no audit events in {} of the newest files", size(sampled.bytes)),
            "look at source.path, and at source.format, which says what the files are made of",
        );
        return;
    }
    let Some(pace) = sampled.pace else {
        findings.not_shown(
            "how fast the log is written: its newest files hold less than ten seconds of events; so neither whether \
             retention leaves time, nor whether the throttle does",
        );
        return;
    };
    grace(config, &pace, findings);
    for (output, taken) in config.outputs.iter().zip(&pace.taken) {
        rate(output, pace.events_per_second * taken, findings);
    }
}

fn grace(config: &Config, pace: &Pace, findings: &mut Findings) {
    let source = &config.source;
    let rate = format!("{} a second", size(whole(pace.bytes_per_second)));
    // Nobody reads for it: the files are all that is asked for.
    let mut tail =
        Tail::new(PinSet::of_one(&source.path), 0, None, source.start_at, source.max_line_bytes.get());
    let Ok(look) = tail.survey(0) else { return };
    let forecast = Forecast::new(&source.rotation, source.is_of_container());
    let seconds = forecast.level_seconds(&look, pace.bytes_per_second);
    let nobody_says = if source.rotation == Rotation::default() {
        ", if it is rotated as it is by default: nobody says how (source.rotation, source.manifest or --audit-log-maxbackup)"
    } else {
        ""
    };
    let Ok(grace) = Duration::try_from_secs_f64(seconds) else {
        findings.shown(format!("no retention deletes what is written ({rate})"));
        return;
    };
    let lasts = format!(
        "at {rate}, the fastest of the newest files, retention deletes an event after {}{nobody_says}",
        duration(grace)
    );
    if grace < SHORTEST_GRACE {
        findings.warning(
            lasts,
            "raise --audit-log-maxbackup or --audit-log-maxsize of kube-apiserver (of the kubelet containerLogMaxFiles and \
             containerLogMaxSize): an outage of the endpoint that is longer than that lives on pinLimit alone",
        );
    } else {
        findings.shown(lasts);
    }
}

fn rate(output: &Output, events_per_second: f64, findings: &mut Findings) {
    let name = &output.name;
    let Some(throttle) = output.batch.throttle else { return };
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let of_batch = output.batch.max_size.get() as f64;
    let allowed = throttle.qps * of_batch;
    let share = events_per_second / allowed;
    let seen = format!(
        "{name}: up to {events_per_second:.1} events a second were seen, {:.0}% of the {allowed:.0} that batch.throttle.qps x \
         batch.maxSize let through",
        share * 100.0
    );
    if share > HIGHEST_SHARE {
        let wanted = events_per_second / HIGHEST_SHARE / of_batch;
        findings.warning(
            seen,
            format!("raise batch.throttle.qps of it to {:.0} at least, or its batch.maxSize; or turn the throttle off", wanted.ceil()),
        );
    } else {
        findings.shown(seen);
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate for people, never below 0"
)]
fn whole(rate: f64) -> u64 {
    rate as u64
}
