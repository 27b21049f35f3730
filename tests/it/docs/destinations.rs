//! `docs/destinations.md`: its tables have the fields that the configuration reads, its samples are configurations.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;

use super::{cells, code, read, rows};
use crate::support::certificates::Authority;
use crate::support::cli::{Ended, audit_shipper};
use crate::support::workdir::Workdir;

const PAGE: &str = "docs/destinations.md";

/// Each destination beside the webhook with the least that it has to be told; `/in/` is a directory of the test.
const LEAST: [(&str, &str); 8] = [
    ("ndjson", "url: http://localhost:1"),
    ("elasticsearch", "url: http://localhost:1"),
    ("otlp", "url: http://localhost:1"),
    ("loki", "url: http://localhost:1"),
    ("splunkHec", "url: http://localhost:1, tokenFile: /in/token"),
    (
        "sls",
        "url: http://localhost:1, project: p, logstore: l, accessKeyIdFile: /in/id, accessKeySecretFile: /in/secret",
    ),
    ("file", "path: /in/events.log"),
    ("stdout", ""),
];

/// A row of a table of fields.
struct Row {
    field: String,
    default: String,
    meaning: String,
}

/// The page below each heading, by the code with which the heading begins.
fn sections(page: &str) -> Vec<(&str, &str)> {
    let section = |text| {
        let (heading, below): (&str, &str) = str::split_once(text, '\n').unwrap();
        Some((heading.strip_prefix('`')?.split_once('`')?.0, below))
    };
    page.split("\n## ").filter_map(section).collect()
}

/// The rows of the table of fields.
fn fields_of(section: &str) -> Vec<Row> {
    let lines = section.lines().skip_while(|line| !line.starts_with("| field |")).skip(2);
    let row = |line| {
        let [field, default, meaning] = <[String; 3]>::try_from(cells(line)).unwrap();
        Row { field: code(&field).unwrap().to_owned(), default, meaning }
    };
    lines.take_while(|line| line.starts_with('|')).map(row).collect()
}

/// The rows that hold for every server, but for those that the section excepts; none if it does not speak of them.
fn fields_of_every_server(page: &str, section: &str) -> Vec<Row> {
    let Some((_, rest)) = section.split_once("\nand the [fields of every server](#fields-of-every-server)")
    else {
        return Vec::new();
    };
    let (but, _) = rest.split_once(".\n").unwrap();
    let but: Vec<&str> = but.split('`').skip(1).step_by(2).collect();
    let (_, every) = page.split_once("\n## Fields of every server\n").unwrap();
    let every = fields_of(every);
    assert!(but.iter().all(|field| every.iter().any(|row| row.field == *field)), "{but:?}");
    every.into_iter().filter(|row| !but.contains(&row.field.as_str())).collect()
}

/// What `check` says of these outputs, in which `/in/` is a directory of `workdir`.
fn check(workdir: &Workdir, outputs: &str) -> Ended {
    let config = workdir.path("config.yaml");
    let text = format!(
        "source: {{ path: {} }}\nstateDir: {}\n{}",
        workdir.log().display(),
        workdir.state().display(),
        outputs.replace("/in/", &format!("{}/", workdir.path("in").display())),
    );
    fs::write(&config, text).unwrap();
    audit_shipper(["check", "--node=false", "--config", config.to_str().unwrap()])
}

fn check_one(workdir: &Workdir, section: &str, fields: &str) -> Ended {
    check(workdir, &format!("outputs: [{{ name: a, {section}: {{ {fields} }} }}]\n"))
}

/// A directory with the files that [`LEAST`] names.
fn workdir() -> Workdir {
    let workdir = Workdir::new();
    fs::create_dir(workdir.path("in")).unwrap();
    for name in ["token", "id", "secret"] {
        fs::write(workdir.path("in").join(name), "text").unwrap();
    }
    workdir
}

/// The fields that may stand where `check` has met one that it does not know.
fn legal_fields(ended: &Ended) -> Vec<String> {
    let mistakes = ended.mistakes();
    let [mistake] = mistakes[..] else { panic!("{mistakes:?}") };
    let (_, legal) = mistake.split_once(" is not a known field; legal are ").unwrap();
    legal.split(", ").map(str::to_owned).collect()
}

/// The fields of a destination's section that `check` prints, and their values.
fn in_effect(printed: &str) -> BTreeMap<String, String> {
    let lines = printed.lines().skip_while(|line| !line.starts_with("  - name")).skip(2);
    let field = |line: &str| {
        let (field, value) = line.trim().split_once(": ").unwrap();
        (field.to_owned(), value.trim_matches('"').to_owned())
    };
    lines.take_while(|line| line.starts_with("      ")).map(field).collect()
}

/// Whether a printed value is that of a field which was not given and has no default.
fn is_nothing(value: &str) -> bool {
    let members = value.trim_matches(['{', '}', ' ']).split(", ");
    members.map(|member| member.rsplit(": ").next()).all(|value| matches!(value, Some("" | "~" | "false")))
}

/// The value that a cell describes.
fn default_of(cell: &str, workdir: &Workdir) -> Option<String> {
    match cell {
        "the node's name" => Some(rustix::system::uname().nodename().to_str().unwrap().to_owned()),
        "the node's address" => Some(node_address()),
        "the path of the log" => Some(workdir.log().display().to_string()),
        other => code(other).map(str::to_owned),
    }
}

/// That of the default route; empty without one. Nothing is sent to find out.
fn node_address() -> String {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let is_connected = socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).is_ok();
    if is_connected { socket.local_addr().unwrap().ip().to_string() } else { String::new() }
}

/// The rows of the table of identities: a destination, and what it calls the cluster, the node and the source.
fn rows_of_identity() -> Vec<(String, [BTreeSet<String>; 3])> {
    let page = read(PAGE);
    let (_, section) = page.split_once("\n## Identity\n").unwrap();
    let lines = section.lines().skip_while(|line| !line.starts_with("| destination |")).skip(2);
    let row = |line| {
        let [destination, cluster, node, source] = <[String; 4]>::try_from(cells(line)).unwrap();
        let names = |cell: String| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        (destination.replace('`', ""), [cluster, node, source].map(names))
    };
    lines.take_while(|line| line.starts_with('|')).map(row).collect()
}

/// What the page says of where this destination is told the cluster, the node and the source.
pub(crate) fn places_of_identity(row: &str) -> [BTreeSet<String>; 3] {
    let found = rows_of_identity().into_iter().find(|(destination, _)| destination == row);
    found.unwrap_or_else(|| panic!("no row {row}")).1
}

/// What is in the rows is compared with requests by the suite of all destinations.
#[test]
fn every_destination_has_a_row_of_identity() {
    let rows = rows_of_identity();
    let mut names: Vec<&str> =
        rows.iter().map(|(row, _)| row.split_once(' ').map_or(row.as_str(), |(name, _)| name)).collect();
    names.dedup();
    let all: Vec<&str> = ["webhook"].into_iter().chain(LEAST.map(|(name, _)| name)).collect();
    assert_eq!(names, all);
    for (row, places) in &rows {
        let has_none = ["file", "stdout"].contains(&row.as_str());
        assert!(places.iter().all(|names| names.is_empty() == has_none), "{row}: {places:?}");
    }
}

#[test]
fn every_destination_is_described() {
    let workdir = workdir();
    workdir.kubeconfig("http://localhost:1");
    let outputs = "outputs: [{ name: a, webhook: { kubeconfig: /in/../webhook.kubeconfig }, zzz: 1 }]\n";
    let ended = check(&workdir, outputs);
    let legal = legal_fields(&ended);
    let of_code: BTreeSet<&str> =
        legal.iter().map(String::as_str).skip_while(|field| *field != "name").skip(1).collect();
    let page = read(PAGE);
    let on_page: Vec<&str> = sections(&page).into_iter().map(|(name, _)| name).collect();
    assert_eq!(on_page, LEAST.map(|(name, _)| name));
    let of_readme: Vec<String> =
        rows("Destinations").iter().map(|row| code(&row[0]).unwrap().to_owned()).collect();
    assert_eq!(of_readme[0], "webhook");
    assert_eq!(of_readme[1..], on_page);
    let of_outputs: BTreeSet<String> = rows("Configuration")
        .iter()
        .filter_map(|row| Some(code(&row[0])?.strip_prefix("outputs[].")?.split('.').next()?.to_owned()))
        .collect();
    let described: BTreeSet<&str> =
        of_outputs.iter().map(String::as_str).filter(|field| *field != "name").chain(on_page).collect();
    assert_eq!(described, of_code);
}

#[test]
fn the_fields_of_each_destination_and_their_defaults_are_those_in_effect() {
    let (workdir, page) = (workdir(), read(PAGE));
    let pages: BTreeMap<&str, &str> = sections(&page).into_iter().collect();
    for (section, least) in LEAST {
        let own = fields_of(pages[section]);
        let mut described: BTreeMap<&str, &str> = BTreeMap::new();
        let every = fields_of_every_server(&page, pages[section]);
        // The section's own table comes first where both have a field.
        for row in every.iter().chain(&own) {
            described.insert(&row.field, &row.default);
        }
        let comma = if least.is_empty() { "" } else { ", " };
        let unknown = check_one(&workdir, section, &format!("{least}{comma}zzz: 1"));
        let legal: BTreeSet<String> = legal_fields(&unknown).into_iter().collect();
        assert_eq!(described.keys().copied().collect::<Vec<_>>(), Vec::from_iter(&legal), "{section}");
        let effective = in_effect(&check_one(&workdir, section, least).succeeded());
        assert!(effective.keys().all(|field| legal.contains(field)), "{section}: {effective:?}");
        for (field, cell) in described {
            let value = effective.get(field);
            match default_of(cell, &workdir) {
                // Without compression a level is a mistake, so none is in effect.
                Some(_) if field == "compressionLevel" && effective["compression"] == "none" => {}
                Some(default) => assert_eq!(value, Some(&default), "{section}: {field}"),
                None => {
                    let is_given = least.split(", ").any(|given| given.starts_with(&format!("{field}: ")));
                    assert!(
                        is_given || value.is_none_or(|value| is_nothing(value)),
                        "{section}: {field}: {value:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn what_tls_has_is_what_is_said_of_it() {
    let page = read(PAGE);
    let (_, every) = page.split_once("\n## Fields of every server\n").unwrap();
    let tls = fields_of(every).into_iter().find(|row| row.field == "tls").unwrap();
    let described: Vec<&str> = tls.meaning.split('`').skip(1).step_by(2).collect();
    let unknown = check_one(&workdir(), "ndjson", "url: http://localhost:1, tls: { zzz: 1 }");
    assert_eq!(described, legal_fields(&unknown));
}

/// Puts what a sample names by absolute paths into a directory of the test.
fn put_files(workdir: &Workdir, sample: &str) -> String {
    let mut moved = sample.to_owned();
    let is_end = |c: char| c.is_whitespace() || ",}".contains(c);
    for (directory, holds_secrets) in [("/etc/audit-shipper/", true), ("/var/log/", false)] {
        for (at, _) in sample.match_indices(&format!(" {directory}")) {
            let path = sample[at + 1..].split(is_end).next().unwrap();
            let here = format!("/in{path}");
            let file = workdir.path(here.trim_start_matches('/'));
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            let content = if is_pem(&file) { Authority::new().pem() } else { "text".to_owned() };
            if holds_secrets {
                fs::write(file, content).unwrap();
            }
        }
        moved = moved.replace(&format!(" {directory}"), &format!(" /in{directory}"));
    }
    moved
}

fn is_pem(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "pem")
}

#[test]
fn the_samples_are_configurations() {
    let (page, readme) = (read(PAGE), read("README.md"));
    let of_readme = readme.split("```yaml\n").skip(1).filter(|sample| sample.starts_with("outputs:"));
    let samples: Vec<&str> = page
        .split("```yaml\n")
        .skip(1)
        .chain(of_readme)
        .map(|rest| rest.split_once("```").unwrap().0)
        .collect();
    assert!(samples.len() >= LEAST.len(), "{}", samples.len());
    for (section, _) in LEAST {
        assert!(samples.iter().any(|sample| sample.contains(&format!("\n    {section}:"))), "{section}");
    }
    for sample in samples {
        let workdir = Workdir::new();
        let ended = check(&workdir, &put_files(&workdir, sample));
        assert_eq!(ended.stderr, "", "{sample}");
        ended.succeeded();
    }
}
