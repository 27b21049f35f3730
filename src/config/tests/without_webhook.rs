//! Flags of the webhook beside an output that is none.

use super::*;

const FLAGS: [(&str, &str); 2] = [("audit-webhook-config-file", "/kc"), (INITIAL_BACKOFF, "5s")];

fn with(destination: &str, flags: &[(&'static str, &str)]) -> Loaded {
    let yaml = format!("source: {{path: /log}}\noutputs: [{{name: siem, {destination}}}]\n");
    load_both(&yaml, flags).unwrap()
}

#[test]
fn flags_that_have_no_effect_are_told() {
    let loaded = with("loki: {url: 'https://l'}", &FLAGS);
    assert_eq!(
        loaded.warnings,
        [
            "--audit-webhook-config-file: has no effect, since no output is a webhook; remove it, or say `webhook` in \
             place of `loki`",
            "--audit-webhook-initial-backoff: has no effect, since no output is a webhook; remove it, or set \
             outputs[0].loki.initialBackoff in the file",
        ]
    );
    assert_eq!(loaded.config, with("loki: {url: 'https://l'}", &[]).config);
    assert_eq!(with("webhook: {kubeconfig: /kc}", &FLAGS).warnings, [""; 0]);
    assert_eq!(with("webhook: {}", &FLAGS).warnings, [""; 0]);
}

#[test]
fn the_old_name_of_the_backoff_is_told_by_its_name() {
    let mut settings = settings(&[(DEPRECATED_BACKOFF, "5s")]);
    let alias = settings.get(DEPRECATED_BACKOFF).unwrap().clone();
    settings.insert(INITIAL_BACKOFF, alias);
    let yaml = "source: {path: /log}\noutputs: [{name: siem, stdout: {}}]\n";
    let loaded = load::load_text(Some("f.yaml"), Some(yaml), &settings, None, Report::default()).unwrap();
    let told = |words: &str| loaded.warnings.iter().any(|warning| warning.starts_with(words));
    assert!(told("--audit-webhook-batch-initial-backoff: has no effect"), "{:?}", loaded.warnings);
    assert!(told("--audit-webhook-batch-initial-backoff: Deprecated"), "{:?}", loaded.warnings);
}

#[test]
fn a_variable_is_told_as_one() {
    let mut settings = Settings::default();
    let origin = Origin::Variable("AUDIT_SHIPPER_AUDIT_WEBHOOK_CONFIG_FILE".to_owned());
    settings.insert("audit-webhook-config-file", Setting { origin, text: "/kc".to_owned() });
    let yaml = "source: {path: /log}\noutputs: [{name: siem, file: {path: /other/f}}]\n";
    let loaded = load::load_text(Some("f.yaml"), Some(yaml), &settings, None, Report::default()).unwrap();
    assert_eq!(loaded.warnings.len(), 1);
    assert!(loaded.warnings[0].starts_with("AUDIT_SHIPPER_AUDIT_WEBHOOK_CONFIG_FILE: has no effect"));
}
