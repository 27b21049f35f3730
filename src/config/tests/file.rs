//! `file`.

use std::os::unix::fs::symlink;
use std::path::Path;

use super::mistakes::check;
use super::*;
use crate::config::file::{problem_of_place, read};
use crate::config::manifest::Layer;
use crate::config::section::{Section, Sources};
use crate::yaml;

fn load(fields: &str) -> Result<File, String> {
    let (node, settings, report) = (yaml::parse(fields).unwrap(), Settings::default(), Report::default());
    let (below, manifest) = (&settings, &Layer::default());
    let sources = Sources {
        file: Some("f.yaml"),
        complete: true,
        settings: &settings,
        below,
        manifest,
        report: &report,
    };
    let file = read(Section::new(sources, Some(&node), "outputs[0].file".to_owned()));
    report.finish().map(|_| file).map_err(|errors| errors.to_string())
}

#[test]
fn a_path_is_enough() {
    let file = |path: &str| File {
        path: path.into(),
        max_size: 100 << 20,
        max_backups: 10,
        compress: false,
        mode: 0o600,
    };
    assert_eq!(load("path: /var/log/shipped.log"), Ok(file("/var/log/shipped.log")));
    assert_eq!(
        load("{path: /a, maxSize: 1GiB, maxBackups: 0, compress: true, mode: '0640'}"),
        Ok(File { max_size: 1 << 30, max_backups: 0, compress: true, mode: 0o640, ..file("/a") })
    );
}

#[test]
fn mistakes_name_their_fields() {
    for (fields, expect) in [
        ("{}", "f.yaml:1: outputs[0].file.path: must be given"),
        ("path: ''", "file.path: must not be empty"),
        ("path: '-'", "file.path: \"-\" is no file; for standard output write `stdout: {}`"),
        ("path: /var/log/", "file.path: names a directory"),
        ("path: ..", "file.path: names a directory"),
        ("{path: /a, maxSize: 0}", "file.maxSize: 0 is out of range"),
        ("{path: /a, maxBackups: -1}", "file.maxBackups: -1 is out of range"),
        ("{path: /a, compress: gzip}", "file.compress: must be true or false"),
        ("{path: /a, mode: 640}", "file.mode: must be a string, not the number 640; put it in quotes"),
        ("{path: /a, mode: '0400'}", "file.mode: \"0400\" is no mode"),
        ("{path: /a, mode: '0777'}", "file.mode: \"0777\" is no mode"),
        ("{path: /a, mode: '4600'}", "file.mode: \"4600\" is no mode"),
        ("{path: /a, mode: '+600'}", "file.mode: \"+600\" is no mode"),
        ("{path: /a, mode: rw}", "file.mode: \"rw\" is no mode"),
        ("{path: /a, maxAge: 1}", "file.maxAge: is not a known field"),
    ] {
        let mistakes = load(fields).unwrap_err();
        assert!(mistakes.contains(expect) && mistakes.lines().count() == 1, "{fields}: {mistakes}");
    }
}

#[test]
fn the_log_and_the_state_are_no_places_to_write_to() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    std::fs::create_dir_all(at("logs")).unwrap();
    std::fs::create_dir_all(at("state/spool")).unwrap();
    std::fs::write(at("logs/real.log"), "").unwrap();
    symlink(at("logs"), at("link")).unwrap();
    symlink(at("logs/real.log"), at("linked.log")).unwrap();
    let problem =
        |path: &str, log: &str| problem_of_place(&at(path), &at(log), &at("state")).unwrap_or_default();
    for (path, log, expect) in [
        ("logs/audit.log", "logs/audit.log", "is the log that is tailed"),
        ("link/audit.log", "logs/audit.log", "is the log that is tailed"),
        ("logs/../link/audit.log", "link/audit.log", "is the log that is tailed"),
        ("logs/real.log", "linked.log", "is the log that is tailed"),
        (
            "logs/audit.log.1",
            "logs/audit.log",
            "is the log that is tailed, or has the name of one of its backups",
        ),
        ("logs/audit-2026-07-18T04-24-44.123.log", "logs/audit.log", "has the name of one of its backups"),
        ("logs/x.log", "logs/x.log.1", "gives its backups names such as the log"),
        ("state/x.log", "logs/audit.log", "is in the state directory"),
        ("state/spool/x.log", "logs/audit.log", "is in the state directory"),
        ("logs/audit.log", "link/other.log", ""),
        ("logs/shipped.log", "logs/audit.log", ""),
        ("stately.log", "logs/audit.log", ""),
    ] {
        let problem = problem(path, log);
        assert!(problem.contains(expect) && problem.is_empty() == expect.is_empty(), "{path}: {problem}");
    }
    let nowhere = problem_of_place(
        Path::new("/nowhere/x.log"),
        Path::new("/nowhere/audit.log"),
        Path::new("/nowhere/state"),
    );
    assert_eq!(nowhere, None);
}

#[test]
fn two_outputs_never_write_to_one_place() {
    let outputs = |first: &str, second: &str| {
        load_yaml(&format!(
            "source: {{path: /log}}\noutputs: [{{name: a, {first}}}, {{name: b, webhook: {{kubeconfig: /kc}}}}, {{name: c, {second}}}]\n"
        ))
    };
    let file = |path: &str| format!("file: {{path: {path}}}");
    for second in ["/nowhere/x.log", "/nowhere/./x.log", "/nowhere/x-2026-07-18T04-24-44.123.log"] {
        let expect = format!(
            "outputs[2].file.path: {second} is the file of outputs[0], or has the name of one of its backups; name another file"
        );
        check(outputs(&file("/nowhere/x.log"), &file(second)), &[&expect]);
    }
    let other_way = "outputs[2].file.path: /nowhere/x.log gives its backups names such as the file of outputs[0] has; name another file";
    check(outputs(&file("/nowhere/x-2026-07-18T04-24-44.123.log"), &file("/nowhere/x.log")), &[other_way]);
    let twice = "outputs[2].stdout: is the destination of outputs[0] already; their lines would be mixed up";
    check(outputs("stdout: {}", "stdout: {}"), &[twice]);
    outputs(&file("/nowhere/x.log"), &file("/nowhere/y.log")).unwrap();
    outputs(&file("/nowhere/x.log"), "stdout: {}").unwrap();
}
