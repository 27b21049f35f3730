use clap::Parser;
use clap::error::ErrorKind;

use super::*;

/// The part of the command line that this module adds to.
#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    run: RunArgs,
}

fn parse(line: &str) -> Result<RunArgs, ErrorKind> {
    let words = std::iter::once("run").chain(line.split_whitespace());
    Cli::try_parse_from(words).map(|cli| cli.run).map_err(|error| error.kind())
}

/// Loads with the flags that are always needed, and these variables.
fn load(line: &str, variables: &[(&str, &str)]) -> Result<Loaded, Errors> {
    let args = parse(&format!("--audit-log-path=/log --audit-webhook-config-file=/kc {line}")).unwrap();
    args.load(|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into()))
}

fn mistakes(line: &str, variables: &[(&str, &str)]) -> Vec<String> {
    load(line, variables).expect_err("a mistake went unnoticed").iter().map(str::to_owned).collect()
}

fn backoff(line: &str, variables: &[(&str, &str)]) -> u64 {
    load(line, variables).unwrap().config.outputs[0].requests.initial_backoff.as_secs()
}

#[test]
fn the_command_is_well_formed() {
    <Cli as clap::CommandFactory>::command().debug_assert();
}

#[test]
fn values_follow_after_a_space_or_an_equals_sign() {
    for line in [
        "--shutdown-grace=5s",
        "--shutdown-grace 5s",
        "--shutdown_grace 5s",
        "--shutdown-grace=1s --shutdown_grace=5s",
    ] {
        assert_eq!(load(line, &[]).unwrap().config.shutdown_grace.as_secs(), 5, "{line}");
    }
    // As in pflag, the next word is the value, whatever it looks like.
    assert_eq!(
        mistakes("--audit-log-maxage -1", &[]),
        ["--audit-log-maxage: --audit-log-maxage -1 can't be a negative number"]
    );
}

#[test]
fn booleans_take_no_word_of_their_own() {
    let enabled = |line| load(line, &[]).unwrap().config.outputs[0].truncate.enabled;
    assert!(!enabled(""));
    assert!(enabled("--audit-webhook-truncate-enabled"));
    assert!(enabled("--audit-webhook-truncate-enabled --shutdown-grace=1s"));
    assert!(enabled("--audit_webhook_truncate_enabled=T"));
    assert!(!enabled("--audit-webhook-truncate-enabled=0"));
    assert!(!enabled("--audit-webhook-truncate-enabled --audit-webhook-truncate-enabled=false"));
    assert_eq!(parse("--audit-webhook-truncate-enabled true").unwrap_err(), ErrorKind::UnknownArgument);
    assert_eq!(
        mistakes("--audit-webhook-truncate-enabled=yes", &[]),
        ["--audit-webhook-truncate-enabled: \"yes\" is not a boolean; legal are true and false"]
    );
}

#[test]
fn unknown_flags_and_stray_words_are_wrong_usage() {
    for line in ["stray", "--audit-webhook-batch-maxsize=1", "--no-redact", "-c", "--redact=false stray"] {
        assert_eq!(parse(line).unwrap_err(), ErrorKind::UnknownArgument, "{line}");
    }
    assert_eq!(parse("--shutdown-grace").unwrap_err(), ErrorKind::InvalidValue);
}

#[test]
fn a_flag_wins_over_its_variable() {
    let variables = [("AUDIT_SHIPPER_SHUTDOWN_GRACE", "7s"), ("AUDIT_SHIPPER_LOG_FORMAT", "")];
    let grace = |line| load(line, &variables).unwrap().config.shutdown_grace.as_secs();
    assert_eq!((grace(""), grace("--shutdown-grace=8s")), (7, 8));
}

#[test]
fn a_mistake_names_the_variable_it_came_from() {
    let variables =
        [("AUDIT_SHIPPER_SHUTDOWN_GRACE", "x"), ("AUDIT_SHIPPER_AUDIT_WEBHOOK_BATCH_MAX_SIZE", "0")];
    let found = mistakes("", &variables);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().any(|m| m.starts_with("AUDIT_SHIPPER_SHUTDOWN_GRACE: \"x\" is not")), "{found:?}");
    let text = "AUDIT_SHIPPER_AUDIT_WEBHOOK_BATCH_MAX_SIZE: invalid audit batch webhook max batch size 0, must be a positive number";
    assert!(found.iter().any(|m| m == text), "{found:?}");
}

#[test]
fn of_the_backoff_and_its_alias_the_last_counts() {
    let (old, new) = ("--audit-webhook-batch-initial-backoff=3s", "--audit-webhook-initial-backoff=4s");
    assert_eq!(backoff(old, &[]), 3);
    assert_eq!(backoff(&format!("{old} {new}"), &[]), 4);
    assert_eq!(backoff(&format!("{new} {old}"), &[]), 3);
    let old_variable = ("AUDIT_SHIPPER_AUDIT_WEBHOOK_BATCH_INITIAL_BACKOFF", "5s");
    let new_variable = ("AUDIT_SHIPPER_AUDIT_WEBHOOK_INITIAL_BACKOFF", "6s");
    assert_eq!(backoff("", &[old_variable]), 5);
    assert_eq!(backoff("", &[old_variable, new_variable]), 6);
    assert_eq!(backoff(new, &[old_variable]), 4);
    assert_eq!(backoff(old, &[new_variable]), 3);
    assert_eq!(load(old, &[]).unwrap().warnings.len(), 1);
}

#[test]
fn the_alias_is_named_where_it_is_wrong() {
    let found = mistakes("--audit-webhook-batch-initial-backoff=3", &[]);
    assert_eq!(
        found,
        ["--audit-webhook-batch-initial-backoff: \"3\" has no unit; legal are such as 30s, 1m30s or 1.5h"]
    );
}

/// A flag in the table that nobody reads would be accepted and ignored.
#[test]
fn every_flag_is_looked_at() {
    for Flag { name, .. } in FLAGS {
        let loaded = load(&format!("--{name}=\u{1}"), &[]);
        let heard = match &loaded {
            Ok(loaded) => loaded.warnings.iter().any(|warning| warning.starts_with(&format!("--{name}: "))),
            Err(errors) => errors.iter().any(|mistake| mistake.starts_with(&format!("--{name}: "))),
        };
        assert!(heard, "--{name} is ignored: {loaded:?}");
        let from_variable = load("", &[(&variable(name), "\u{1}")]);
        let is_given = ["audit-log-path", "audit-webhook-config-file"].contains(name);
        assert!(is_given || from_variable != load("", &[]), "{} is ignored", variable(name));
    }
}

#[test]
fn the_file_may_be_named_by_a_variable() {
    let found = mistakes("", &[("AUDIT_SHIPPER_CONFIG", "/nowhere/at-all.yaml")]);
    assert_eq!(
        found,
        ["AUDIT_SHIPPER_CONFIG: cannot read /nowhere/at-all.yaml: No such file or directory (os error 2)"]
    );
}

#[test]
fn systemd_names_the_state_directory() {
    let state_dir = |line| load(line, &[("STATE_DIRECTORY", "/a:/b")]).unwrap().config.state_dir;
    assert_eq!(state_dir("").to_str(), Some("/a"));
    assert_eq!(state_dir("--state-dir=/c").to_str(), Some("/c"));
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_no_text_is_a_mistake() {
    use std::os::unix::ffi::OsStringExt as _;
    let args = parse("--audit-log-path=/log --audit-webhook-config-file=/kc").unwrap();
    let loaded =
        args.load(|name| (name == "AUDIT_SHIPPER_STATE_DIR").then(|| OsString::from_vec(vec![0xff])));
    assert_eq!(loaded.unwrap_err().to_string(), "AUDIT_SHIPPER_STATE_DIR: is not UTF-8");
}
