//! What is written for people is true: the README, the page of destinations, the example configuration, the unit.

pub(crate) mod destinations;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use audit_shipper::metrics;

use crate::support::cli::{audit_shipper, finish, flags};
use crate::support::daemon::Daemon;
use crate::support::workdir::Workdir;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The cells of the table rows below a heading of the README, without the head of each table.
fn rows(heading: &str) -> Vec<Vec<String>> {
    let readme = read("README.md");
    let start = readme.find(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no heading {heading}"));
    let section = &readme[start + 1..];
    let section = &section[..section[1..].find("\n## ").map_or(section.len(), |end| end + 1)];
    let lines: Vec<&str> = section.lines().collect();
    let is_head = |index: usize| lines.get(index + 1).is_some_and(|next| next.starts_with("|---"));
    let is_row = |index: usize| lines[index].starts_with("| ") && !is_head(index);
    (0..lines.len()).filter(|index| is_row(*index)).map(|index| cells(lines[index])).collect()
}

/// The cells of a row.
fn cells(row: &str) -> Vec<String> {
    let inner = row.trim_start_matches("| ").trim_end_matches(" |");
    inner.split(" | ").map(|cell| cell.trim().to_owned()).collect()
}

/// The text between the only pair of backticks, or what stands for nothing.
fn code(cell: &str) -> Option<&str> {
    if cell == "–" {
        return None;
    }
    Some(cell.strip_prefix('`').and_then(|cell| cell.strip_suffix('`')).unwrap_or_else(|| panic!("{cell}")))
}

/// Each field of printed YAML that has a value, as `outputs[].batch.maxSize`, and the value.
fn fields(yaml: &str) -> Vec<(String, String)> {
    let mut path: Vec<(usize, String)> = Vec::new();
    let mut fields = Vec::new();
    for line in yaml.lines() {
        let text = line.trim_start_matches([' ', '-']);
        let indent = line.len() - text.len();
        let (key, value) = text.split_once(':').unwrap();
        path.retain(|(other, _)| *other < indent);
        let list = if line.trim_start().starts_with("- ") { "[]" } else { "" };
        if let Some((_, parent)) = path.last_mut() {
            parent.push_str(list);
        }
        path.push((indent, key.to_owned()));
        let name = path.iter().map(|(_, key)| key.as_str()).collect::<Vec<_>>().join(".");
        let value = value.trim().trim_matches('"');
        match value.strip_prefix("{ ").and_then(|value| value.strip_suffix(" }")) {
            Some(inner) => fields.extend(inner.split(", ").map(|pair| {
                let (key, value) = pair.split_once(": ").unwrap();
                (format!("{name}.{key}"), value.to_owned())
            })),
            None if !value.is_empty() => fields.push((name, value.to_owned())),
            None => {}
        }
    }
    fields
}

/// What `check` prints for the example, whose kubeconfig is not on this machine.
fn effective_example() -> String {
    effective_example_with("", "")
}

/// The same with `to` in place of `from`.
fn effective_example_with(from: &str, to: &str) -> String {
    let workdir = Workdir::new();
    let kubeconfig = workdir.kubeconfig("http://127.0.0.1:1/audit");
    let example = workdir.path("example.yaml");
    std::fs::write(&example, read("config/audit-shipper.yaml").replacen(from, to, 1)).unwrap();
    let ended = audit_shipper([
        "check".to_owned(),
        "--node=false".to_owned(),
        format!("--config={}", example.display()),
        format!("--audit-webhook-config-file={}", kubeconfig.display()),
    ]);
    assert_eq!(ended.stderr, "");
    ended.succeeded()
}

/// The flags in a help text.
fn flags_of(command: &str) -> BTreeSet<String> {
    let help = audit_shipper(command.split(' ').chain(["--help"])).succeeded();
    let name = |line: &str| {
        let flag = line.trim_start().strip_prefix("-h, ").unwrap_or(line.trim_start());
        let end = flag.find(|c: char| !c.is_ascii_lowercase() && c != '-').unwrap_or(flag.len());
        flag.starts_with("--").then(|| flag[..end].to_owned())
    };
    help.lines().filter_map(name).filter(|flag| flag != "--help").collect()
}

/// Every word of the README that looks like a flag.
fn flags_in_readme() -> BTreeSet<String> {
    let readme = read("README.md");
    let words = readme.split(|c: char| !c.is_ascii_lowercase() && c != '-');
    let is_flag = |word: &&str| {
        word.len() > 2 && word.starts_with("--") && !word.starts_with("---") && !word.ends_with('-')
    };
    words.filter(is_flag).map(str::to_owned).collect()
}

#[test]
fn the_metrics_are_those_of_the_code() {
    let described: Vec<(String, String, String)> =
        rows("Metrics").into_iter().map(|row| (row[0].clone(), row[1].clone(), row[2].clone())).collect();
    let labels = |labels: &[&str]| match labels {
        [] => "–".to_owned(),
        labels => labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", "),
    };
    let real: Vec<(String, String, String)> = metrics::TABLE
        .iter()
        .map(|(name, kind, names, _)| (format!("`{name}`"), (*kind).to_owned(), labels(names)))
        .collect();
    assert_eq!(described, real);
}

#[test]
fn the_fields_and_their_defaults_are_those_in_effect() {
    let described: Vec<(String, Option<String>)> = rows("Configuration")
        .iter()
        .filter(|row| row[0] != "–")
        .map(|row| (code(&row[0]).unwrap().to_owned(), code(&row[2]).map(str::to_owned)))
        .collect();
    // Without compression a level is a mistake, so none is in effect.
    let level = "outputs[].webhook.compressionLevel";
    let compressed = effective_example_with("compression: none", "compression: zstd");
    let (levels, described): (Vec<_>, Vec<_>) = described.into_iter().partition(|(name, _)| name == level);
    let in_effect = fields(&compressed).into_iter().find(|(name, _)| name == level);
    assert_eq!(levels, in_effect.map(|(name, value)| (name, Some(value))).into_iter().collect::<Vec<_>>());
    // Of the identity, one is not known and the other is the machine's name.
    let without_default = [
        "source.path",
        "outputs[].name",
        "outputs[].webhook.kubeconfig",
        "outputs[].redact.keyFile",
        "outputs[].identity.cluster",
        "outputs[].identity.node",
    ];
    let real: Vec<(String, Option<String>)> = fields(&effective_example())
        .into_iter()
        .map(|(name, value)| {
            let value = (!without_default.contains(&name.as_str())).then_some(value);
            (name, value)
        })
        .collect();
    assert_eq!(described, real);
}

#[test]
fn every_flag_of_run_is_described_and_every_flag_described_exists() {
    let run = flags_of("run");
    assert!(run.len() > 30, "{run:?}");
    let described = flags_in_readme();
    assert!(run.is_subset(&described), "not described: {:?}", run.difference(&described));
    let mut known = run;
    for command in ["check", "receive", "demo", "status", "top", "policy simulate"] {
        known.extend(flags_of(command));
    }
    let of_others = [
        "--output",                              // cursor, rejected
        "--reason",                              // rejected
        "--audit-webhook-batch-initial-backoff", // deprecated, and not shown
        "--lib",
        "--release",
        "--test",
        "--bench",
        "--nocapture", // cargo
        "--locked",
        "--all-targets",
        "--document-private-items",
        "--now",       // systemctl
        "--from-file", // kubectl
        "--wait",      // systemd-run
    ];
    let unknown: Vec<_> = described
        .iter()
        .filter(|flag| !known.contains(*flag) && !of_others.contains(&flag.as_str()))
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

/// What the README shows of a command that is run in the repository: a line `...` stands for some that it leaves out.
fn is_what_is_printed(command: &str) {
    let readme = read("README.md").replace("\\\n        ", "");
    let (_, rest) = readme.split_once(&format!("    $ audit-shipper {command}\n")).unwrap();
    let (_, shown) = rest.split_once("```text\n").unwrap();
    let (shown, _) = shown.split_once("```").unwrap();
    let mut run = Daemon::command();
    let both = |word: &str| match word.strip_suffix("{gke,requestresponse}.log.gz") {
        Some(events) => ["gke", "requestresponse"].map(|name| format!("{events}{name}.log.gz")).to_vec(),
        None => vec![word.to_owned()],
    };
    run.args(command.split(' ').flat_map(both))
        .current_dir(root())
        .env("COLUMNS", "80")
        .env("LC_ALL", "C.UTF-8");
    let printed = finish(run).succeeded();
    let mut left = printed.as_str();
    for (index, piece) in shown.split("...\n").enumerate() {
        let (before, after) =
            left.split_once(piece).unwrap_or_else(|| panic!("not printed:\n{piece}\nbut:\n{printed}"));
        assert!(index > 0 || before.is_empty(), "{before}");
        left = after;
    }
    assert_eq!(left, "");
}

#[test]
fn the_tables_that_are_shown_are_printed() {
    is_what_is_printed("top --limit 4 --by user,resource tests/data/events/{gke,requestresponse}.log.gz");
    is_what_is_printed(
        "policy simulate --policy-file tests/data/policy/gce.yaml --against tests/data/policy/ack_policy.yaml tests/data/events/{gke,requestresponse}.log.gz",
    );
}

#[test]
fn a_flag_stands_beside_its_field() {
    let run = flags_of("run");
    let mut beside: Vec<String> =
        rows("Configuration").iter().filter_map(|row| code(&row[1]).map(str::to_owned)).collect();
    assert!(beside.iter().all(|flag| run.contains(flag)), "{beside:?}");
    let count = beside.len();
    beside.dedup();
    assert_eq!(beside.len(), count, "a flag sets one field");
}

#[test]
fn the_example_is_a_configuration() {
    assert!(effective_example().starts_with("source:\n  path: /var/log/kubernetes/audit.log\n"));
}

/// What a link to a heading calls it.
fn slug(heading: &str) -> String {
    heading.to_lowercase().replace(' ', "-").replace(|c: char| !c.is_alphanumeric() && c != '-', "")
}

#[test]
fn the_links_lead_somewhere() {
    for name in ["README.md", "docs/destinations.md", "docs/status.md"] {
        let (page, path) = (read(name), root().join(name));
        let links: Vec<&str> = page.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect();
        assert!(links.len() > 3, "{name}: {links:?}");
        for link in links.into_iter().filter(|link| !link.starts_with("https://")) {
            let (to, anchor) = link.split_once('#').unwrap_or((link, ""));
            let to = if to.is_empty() { path.clone() } else { path.parent().unwrap().join(to) };
            assert!(to.exists(), "{name}: {link}");
            if !anchor.is_empty() {
                let there = std::fs::read_to_string(to).unwrap();
                let mut headings = there.lines().filter(|line| line.starts_with("##"));
                let is_it = |heading: &str| slug(heading.trim_start_matches('#').trim_start()) == anchor;
                assert!(headings.any(is_it), "{name}: {link}");
            }
        }
    }
}

/// The value of a setting of the unit.
fn setting(unit: &str, name: &str) -> String {
    let value = unit.lines().find_map(|line| line.strip_prefix(&format!("{name}=")));
    value.unwrap_or_else(|| panic!("no {name}= in the unit")).to_owned()
}

#[test]
fn the_unit_runs_what_there_is() {
    let unit = read("systemd/audit-shipper.service");
    let start = setting(&unit, "ExecStart");
    let words: Vec<&str> = start.split(' ').collect();
    assert_eq!(words[..3], ["/usr/bin/audit-shipper", "run", "--config"]);
    let (binary, config) = (words[0], words[3]);
    // The README's steps put both where the unit expects them, and the example is named after its place.
    let readme = read("README.md");
    assert!(readme.contains(&format!(" {binary}\n")) && readme.contains(&format!(" {config}\n")));
    assert!(root().join("config").join(Path::new(config).file_name().unwrap()).is_file());
    // The same flags, with the file in another place.
    let workdir = Workdir::new();
    workdir.kubeconfig("http://127.0.0.1:1/audit");
    let file = workdir.path("audit-shipper.yaml");
    std::fs::write(&file, audit_shipper(flags("check", &workdir)).succeeded()).unwrap();
    let mut args = vec!["check", "--config", file.to_str().unwrap()];
    args.extend(&words[4..]);
    audit_shipper(args).succeeded();
}

#[test]
fn the_unit_fits_the_defaults_and_its_user_exists() {
    let unit = read("systemd/audit-shipper.service");
    let effective = effective_example();
    let default = |name: &str| {
        fields(&effective).into_iter().find_map(|(field, value)| (field == name).then_some(value)).unwrap()
    };
    assert_eq!(default("stateDir"), format!("/var/lib/{}", setting(&unit, "StateDirectory")));
    let seconds = |text: &str| text.trim_end_matches('s').parse::<u32>().unwrap();
    assert!(seconds(&setting(&unit, "TimeoutStopSec")) > seconds(&default("shutdownGrace")));
    assert_eq!(setting(&unit, "RestartPreventExitStatus"), "2 78");
    assert!(
        read("systemd/sysusers.d/audit-shipper.conf").contains(&format!("\nu {} - ", setting(&unit, "User")))
    );
}

#[test]
fn systemd_understands_the_unit_and_finds_it_safe() {
    let workdir = Workdir::new();
    let path = workdir.path("audit-shipper.service");
    let unit = read("systemd/audit-shipper.service");
    std::fs::write(&path, unit.replace("/usr/bin/audit-shipper", env!("CARGO_BIN_EXE_audit-shipper")))
        .unwrap();
    let analyze = |args: &[&str]| Command::new("systemd-analyze").args(args).arg(&path).output();
    let verified = match analyze(&["verify"]) {
        Ok(verified) => verified,
        Err(error) => return eprintln!("skipped: systemd-analyze cannot be run: {error}"),
    };
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    assert!(verified.status.success() && said.is_empty(), "{said}");
    let rated = analyze(&["security", "--offline=true", "--threshold=20"]).unwrap();
    let said = String::from_utf8_lossy(&rated.stderr).into_owned();
    if said.contains("unrecognized option") {
        return eprintln!("security rating skipped: {}", said.trim());
    }
    assert!(rated.status.success(), "{said}{}", String::from_utf8_lossy(&rated.stdout));
}
