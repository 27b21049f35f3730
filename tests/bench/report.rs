//! What was found: the table at the end, and whether all bars are met.

use std::fmt::Write as _;

/// One line of the table.
pub(crate) struct Figure {
    name: String,
    value: String,
    bar: String,
    ratio: Option<f64>,
    met: Option<bool>,
}

/// How a figure is judged.
#[derive(Clone, Copy)]
pub(crate) enum Bar {
    /// It is told, no more.
    None,
    AtLeast(f64),
    Below(f64),
}

impl Bar {
    fn is_met(self, value: f64) -> Option<bool> {
        match self {
            Self::None => None,
            Self::AtLeast(least) => Some(value >= least),
            Self::Below(limit) => Some(value < limit),
        }
    }

    fn text(self, unit: &str) -> String {
        let of = |sign: &str, value: f64| format!("{sign} {value}{unit}");
        match self {
            Self::None => String::new(),
            Self::AtLeast(least) => of(">=", least),
            Self::Below(limit) => of("<", limit),
        }
    }
}

/// What a candidate did with a CPU second, for the plot.
pub(crate) struct Efficiency {
    pub(crate) name: String,
    pub(crate) mb_per_cpu_second: f64,
    pub(crate) is_floor: bool,
}

#[derive(Default)]
pub(crate) struct Report {
    figures: Vec<Figure>,
    pub(crate) efficiencies: Vec<Efficiency>,
    pub(crate) latencies_ms: Vec<f64>,
}

impl Report {
    /// A figure that is judged as it stands.
    pub(crate) fn absolute(&mut self, name: impl Into<String>, value: f64, unit: &str, bar: Bar) {
        let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
        self.figures.push(Figure {
            name: name.into(),
            value: format!("{value:.digits$}{unit}"),
            bar: bar.text(unit),
            ratio: None,
            met: bar.is_met(value),
        });
    }

    /// A figure that is judged by its ratio to another one of the same run.
    pub(crate) fn ratio(&mut self, name: impl Into<String>, value: impl Into<String>, ratio: f64, bar: Bar) {
        self.figures.push(Figure {
            name: name.into(),
            value: value.into(),
            bar: bar.text(" of it"),
            ratio: Some(ratio),
            met: bar.is_met(ratio),
        });
    }

    /// Something to know.
    pub(crate) fn note(&mut self, name: impl Into<String>, text: impl Into<String>) {
        let (name, value) = (name.into(), text.into());
        self.figures.push(Figure { name, value, bar: String::new(), ratio: None, met: None });
    }

    /// A section that could not be run to its end.
    pub(crate) fn failed(&mut self, section: &str, why: &str) {
        let (name, value) = (section.to_owned(), why.to_owned());
        self.figures.push(Figure { name, value, bar: String::new(), ratio: None, met: Some(false) });
    }

    pub(crate) fn all_met(&self) -> bool {
        self.figures.iter().all(|figure| figure.met != Some(false))
    }

    /// The table, as Markdown reads it too.
    pub(crate) fn table(&self) -> String {
        let head = ["figure", "value", "bar", "ratio", ""].map(str::to_owned);
        let rows: Vec<[String; 5]> = self.figures.iter().map(Figure::cells).collect();
        let width = |column: usize| {
            rows.iter().chain([&head]).map(|row| row[column].chars().count()).max().unwrap_or_default()
        };
        let widths: [usize; 5] = std::array::from_fn(width);
        let mut table = String::new();
        let rule = widths.map(|width| "-".repeat(width));
        for row in [&head, &rule].into_iter().chain(&rows) {
            for (cell, width) in row.iter().zip(widths) {
                let _ = write!(table, "| {cell:<width$} ");
            }
            table.push_str("|\n");
        }
        table
    }
}

impl Figure {
    fn cells(&self) -> [String; 5] {
        let met = match self.met {
            Some(true) => "pass",
            Some(false) => "FAIL",
            None => "",
        };
        let ratio = self.ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
        [self.name.clone(), self.value.clone(), self.bar.clone(), ratio, met.to_owned()]
    }
}

/// The middle one.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    quantile(values, 0.5)
}

/// The value below which this share of the values is.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an index into values that are in memory"
)]
pub(crate) fn quantile(values: impl IntoIterator<Item = f64>, share: f64) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let index = (float(values.len() as u64) * share) as usize;
    values.get(index.min(values.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

pub(crate) fn megabytes(bytes: u64) -> f64 {
    float(bytes) / 1e6
}
