//! `PLOT=FILE`: what this run found, as a picture. On a ground of its own, so that it reads the same on any page.

use std::fmt::Write as _;

use crate::report::{Efficiency, Report, float, quantile};

const WIDTH: f64 = 760.0;
const MARGIN: f64 = 24.0;
const NAME_WIDTH: f64 = 290.0;
const VALUE_WIDTH: f64 = 70.0;
const BAR_HEIGHT: f64 = 20.0;
const BAR_STEP: f64 = 30.0;
const HISTOGRAM_HEIGHT: f64 = 110.0;
/// Columns of the histogram at most; what took longer is not shown, and said.
const MOST_MS: f64 = 40.0;
/// A bar so many times as long as the longest one that is no floor is cut, and says so.
const LONGEST: f64 = 1.5;

const GROUND: &str = "#ffffff";
const INK: &str = "#1f2328";
const FAINT: &str = "#59636e";
const OWN: &str = "#1a7f64";
const OTHER: &str = "#9aa4af";
const FLOOR: &str = "#d8dee4";

pub(crate) fn svg(report: &Report) -> String {
    let (mut body, mut y) = (String::new(), MARGIN);
    if !report.efficiencies.is_empty() {
        y = bars(&mut body, y, &report.efficiencies);
    }
    if !report.latencies_ms.is_empty() {
        y = histogram(&mut body, y + 12.0, &report.latencies_ms);
    }
    let height = y + MARGIN / 2.0;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif\" font-size=\"13\" fill=\"{INK}\">\n\
         <rect x=\"0.5\" y=\"0.5\" width=\"{}\" height=\"{}\" rx=\"8\" fill=\"{GROUND}\" stroke=\"{FLOOR}\"/>\n{body}</svg>\n",
        WIDTH - 1.0,
        height - 1.0,
    )
}

/// Where a text stands against its place.
#[derive(Clone, Copy)]
enum Anchor {
    Start,
    Middle,
    End,
}

fn text(out: &mut String, x: f64, y: f64, anchor: Anchor, style: &str, words: &str) {
    let anchor = match anchor {
        Anchor::Start => "start",
        Anchor::Middle => "middle",
        Anchor::End => "end",
    };
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" {style}>{words}</text>");
}

fn rectangle(out: &mut String, x: f64, y: f64, width: f64, height: f64, fill: &str) {
    let _ = writeln!(
        out,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{fill}\"/>"
    );
}

fn heading(out: &mut String, y: f64, title: &str, subtitle: &str) -> f64 {
    text(out, MARGIN, y + 12.0, Anchor::Start, "font-size=\"15\" font-weight=\"600\"", title);
    text(out, MARGIN, y + 31.0, Anchor::Start, &format!("fill=\"{FAINT}\""), subtitle);
    y + 46.0
}

/// Returns where it ends.
fn bars(out: &mut String, y: f64, efficiencies: &[Efficiency]) -> f64 {
    let mut y = heading(
        out,
        y,
        "MB of log per CPU second",
        "1 GB drained into an HTTP endpoint on the same machine; CPU of the shipper alone; longer is better",
    );
    let longest_candidate =
        efficiencies.iter().filter(|one| !one.is_floor).map(|one| one.mb_per_cpu_second).fold(1.0, f64::max);
    let longest = efficiencies.iter().map(|one| one.mb_per_cpu_second).fold(1.0, f64::max);
    let whole = longest.min(longest_candidate * LONGEST);
    let room = WIDTH - 2.0 * MARGIN - NAME_WIDTH - VALUE_WIDTH;
    let mut sorted: Vec<&Efficiency> = efficiencies.iter().collect();
    sorted.sort_by(|left, right| right.mb_per_cpu_second.total_cmp(&left.mb_per_cpu_second));
    for one in sorted {
        let is_own = one.name == "audit-shipper";
        let fill = match (one.is_floor, is_own) {
            (true, _) => FLOOR,
            (_, true) => OWN,
            _ => OTHER,
        };
        let weight = if is_own { "font-weight=\"600\"" } else { "" };
        let baseline = y + BAR_HEIGHT - 5.5;
        let (x, length) = (MARGIN + NAME_WIDTH, room * (one.mb_per_cpu_second / whole).min(1.0));
        text(out, x - 10.0, baseline, Anchor::End, weight, &one.name);
        rectangle(out, x, y, length, BAR_HEIGHT, fill);
        if one.mb_per_cpu_second > whole {
            // Two slanted gaps: the bar goes on.
            for offset in [28.0, 18.0] {
                let _ = writeln!(
                    out,
                    "<path d=\"M{:.1} {:.1} l6 {:.1}\" stroke=\"{GROUND}\" stroke-width=\"4\"/>",
                    x + length - offset,
                    y + BAR_HEIGHT + 1.0,
                    -(BAR_HEIGHT + 2.0),
                );
            }
        }
        text(
            out,
            x + length + 8.0,
            baseline,
            Anchor::Start,
            weight,
            &format!("{:.0}", one.mb_per_cpu_second),
        );
        y += BAR_STEP;
    }
    y
}

/// One column for each millisecond. Returns where it ends.
fn histogram(out: &mut String, y: f64, latencies_ms: &[f64]) -> f64 {
    let late = quantile(latencies_ms.iter().copied(), 0.99);
    let columns = (late.ceil() + 6.0).min(MOST_MS);
    let longer = latencies_ms.iter().filter(|ms| **ms >= columns).count();
    let longer = float(longer as u64) / float(latencies_ms.len() as u64) * 100.0;
    let top = heading(
        out,
        y,
        "From write to receipt, ms",
        &format!("1,000 events a second, maxWait 10 ms; {longer:.1}% took longer than {columns:.0} ms"),
    );
    let width = (WIDTH - 2.0 * MARGIN) / columns;
    let share_of = |from: f64| {
        let count = latencies_ms.iter().filter(|ms| **ms >= from && **ms < from + 1.0).count();
        float(count as u64) / float(latencies_ms.len() as u64)
    };
    let starts: Vec<f64> = std::iter::successors(Some(0.0), |from| Some(from + 1.0))
        .take_while(|from| *from < columns)
        .collect();
    let tallest = starts.iter().map(|from| share_of(*from)).fold(f64::MIN_POSITIVE, f64::max);
    let bottom = top + HISTOGRAM_HEIGHT;
    for from in starts {
        let (x, height) = (MARGIN + from * width, HISTOGRAM_HEIGHT * share_of(from) / tallest);
        rectangle(out, x + 1.0, bottom - height, width - 2.0, height, OWN);
        if from % 5.0 == 0.0 {
            text(out, x, bottom + 16.0, Anchor::Middle, &format!("fill=\"{FAINT}\""), &format!("{from:.0}"));
        }
    }
    rectangle(out, MARGIN, bottom, WIDTH - 2.0 * MARGIN, 1.0, OTHER);
    bottom + 20.0
}
