//! Files that cannot be read, and text that is no configuration at all.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::mistakes::check;
use super::*;

#[test]
fn a_broken_file_hides_no_mistake_in_the_flags() {
    let errors = load_both("source: [\n", &[("shutdown-grace", "x")]).unwrap_err().to_string();
    let lines: Vec<_> = errors.lines().collect();
    assert_eq!(lines.len(), 2, "{errors}");
    assert!(lines[0].starts_with("f.yaml:"), "{errors}");
    assert!(lines[1].starts_with("--shutdown-grace: \"x\" is not a duration"), "{errors}");
}

#[test]
fn an_unreadable_file_is_one_mistake() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("none.yaml");
    let missing = missing.to_str().unwrap();
    check(
        load(&settings(&[("config", missing)]), None),
        &[&format!("--config: cannot read {missing}: No such file or directory (os error 2)")],
    );
    check(load(&settings(&[("config", "/dev/zero")]), None), &["--config: /dev/zero is longer than 1 MiB"]);
}

#[test]
fn an_alias_bomb_is_refused() {
    let mut yaml = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let last = format!("*a{}", level - 1);
        let ten = [last.as_str(); 10].join(", ");
        writeln!(yaml, "a{level}: &a{level} [{ten}]").unwrap();
    }
    assert!(load_yaml(&yaml).is_err());
}

proptest! {
    #![proptest_config(crate::properties::cases(256))]

    /// No text makes the loader panic, and every mistake is a line of its own.
    #[test]
    fn any_text_is_safe(text in "\\PC{0,200}|[-:,{}\\[\\]&*!|>'\" \n\ta-d0-9]{0,80}") {
        if let Err(errors) = load_yaml(&text) {
            prop_assert!(errors.iter().all(|mistake| !mistake.contains('\n')), "{errors:?}");
            prop_assert!(!errors.is_empty());
        }
    }

    /// No value of any field makes the loader panic.
    #[test]
    fn any_value_is_safe(
        field in prop::sample::select(vec!["source", "maxSize", "maxWait", "qps", "mode", "bufferSize", "burst", "maxEventSize", "onFull", "path"]),
        value in "-?[0-9]{1,25}(\\.[0-9]+)?(e[0-9]{1,3})?[a-zA-Z]{0,3}|\\.inf|\\.nan|~|\\PC{0,10}",
    ) {
        let yaml = format!(
            "source:\n  {field}: {value}\noutputs:\n- name: a\n  webhook: {{kubeconfig: /k}}\n  truncate:\n    {field}: {value}\n  rejected:\n    {field}: {value}\n  batch:\n    {field}: {value}\n    throttle:\n      {field}: {value}\n"
        );
        let _ = load_yaml(&yaml);
    }
}
