//! config/grafana/dashboard.json: every query asks for what there is, of the source and the outputs that were chosen.

use std::collections::BTreeSet;

use audit_shipper::metrics;
use serde::Deserialize;

use super::query::Query;
use super::{Alert, Group, Rules, promtool, read};
use crate::support::workdir::Workdir;

/// What of it counts here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Dashboard {
    panels: Vec<Panel>,
    schema_version: u32,
    templating: List<Variable>,
    annotations: List<Annotation>,
}

#[derive(Debug, Deserialize)]
struct List<T> {
    list: Vec<T>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Panel {
    id: u32,
    title: String,
    grid_pos: Place,
    datasource: Option<Datasource>,
    #[serde(default)]
    targets: Vec<Target>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct Place {
    x: u32,
    y: u32,
    w: u32,
    h: u32,
}

#[derive(Debug, Deserialize)]
struct Datasource {
    uid: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Target {
    datasource: Datasource,
    expr: String,
    legend_format: String,
}

#[derive(Debug, Deserialize)]
struct Variable {
    name: String,
    definition: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Annotation {
    expr: Option<String>,
}

impl Dashboard {
    pub(super) fn read() -> Self {
        serde_json::from_str(&read("config/grafana/dashboard.json")).unwrap()
    }

    /// All queries of panels, with what Grafana fills in for all instances and outputs.
    pub(super) fn queries(&self, range: &str) -> Vec<String> {
        let fill_in = |target: &Target| {
            target.expr.replace("$__rate_interval", range).replace("$instance", ".*").replace("$output", ".*")
        };
        self.panels.iter().flat_map(|panel| &panel.targets).map(fill_in).collect()
    }
}

#[test]
fn the_queries_ask_for_what_there_is() {
    let dashboard = Dashboard::read();
    let asked = dashboard.queries("5m");
    let annotations = dashboard.annotations.list.iter().filter_map(|annotation| annotation.expr.clone());
    for text in asked.iter().cloned().chain(annotations) {
        assert!(!text.contains('$'), "{text}");
        let query = Query::read(&text);
        assert_eq!(query.mistakes(), Vec::<String>::new(), "{text}");
        assert_eq!(query.bare_counters(), Vec::<&str>::new(), "{text}");
    }
    // What every page says, or another one says better.
    let left_out =
        ["audit_event_total", "error_total", "audit_shipper_config_last_reload_success_timestamp_seconds"];
    let shown: BTreeSet<String> = asked
        .iter()
        .flat_map(|text| Query::read(text).names().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let is_shown = |name: &str| shown.iter().any(|shown| shown.starts_with(name)) || left_out.contains(&name);
    let missing: Vec<&str> = metrics::TABLE.iter().map(|row| row.0).filter(|name| !is_shown(name)).collect();
    assert_eq!(missing, ["audit_shipper_last_gap_timestamp_seconds"]);
}

#[test]
fn prometheus_takes_the_queries() {
    let queries = Dashboard::read().queries("5m");
    let alert = |expr: &String| Alert {
        name: "Query".to_owned(),
        expr: expr.clone(),
        lasts: super::at_once(),
        labels: [("number".to_owned(), queries.iter().position(|other| other == expr).unwrap().to_string())]
            .into(),
        annotations: [].into(),
    };
    let group = Group { name: "dashboard".to_owned(), rules: queries.iter().map(alert).collect() };
    let workdir = Workdir::new();
    let file = workdir.path("queries.yaml");
    std::fs::write(&file, serde_saphyr::to_string(&Rules { groups: vec![group] }).unwrap()).unwrap();
    promtool(&["check", "rules", file.to_str().unwrap()]);
}

#[test]
fn panels_have_places_and_the_source_that_was_chosen() {
    let dashboard = Dashboard::read();
    assert!(dashboard.schema_version >= 39);
    let names: Vec<&str> = dashboard.templating.list.iter().map(|variable| &*variable.name).collect();
    assert_eq!(names, ["datasource", "instance", "output"]);
    for definition in dashboard.templating.list.iter().filter_map(|variable| variable.definition.as_deref()) {
        let (inner, label) = definition.strip_prefix("label_values(").unwrap().rsplit_once(',').unwrap();
        let by = format!("sum by ({}) ({})", label.trim_end_matches(')'), inner);
        assert_eq!(
            Query::read(&by.replace("$instance", ".*")).mistakes(),
            Vec::<String>::new(),
            "{definition}"
        );
    }
    let ids: BTreeSet<u32> = dashboard.panels.iter().map(|panel| panel.id).collect();
    assert_eq!(ids.len(), dashboard.panels.len());
    for (index, panel) in dashboard.panels.iter().enumerate() {
        let Place { x, y, w, h } = panel.grid_pos;
        assert!(w > 0 && h > 0 && x + w <= 24, "{}", panel.title);
        let overlaps = |other: &Panel| {
            let Place { x: left, y: top, w: width, h: height } = other.grid_pos;
            x < left + width && left < x + w && y < top + height && top < y + h
        };
        let others = dashboard.panels[..index].iter().filter(|other| overlaps(other));
        assert_eq!(
            others.map(|other| &*other.title).collect::<Vec<_>>(),
            Vec::<&str>::new(),
            "{}",
            panel.title
        );
        let sources = panel.datasource.iter().chain(panel.targets.iter().map(|target| &target.datasource));
        assert!(sources.into_iter().all(|source| source.uid == "${datasource}"), "{}", panel.title);
        // A legend speaks of labels that the query leaves.
        assert!(panel.targets.iter().all(|target| !target.legend_format.is_empty()), "{}", panel.title);
    }
}
