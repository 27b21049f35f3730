//! Takes out of an event what must never leave the node: values of Secrets, tokens, keys, credentials.
//!
//! A value is replaced by a *mark*, which is the same wherever the value is (see [`Key`]). Keys, nulls and structure stay,
//! and every other byte of the line: the line is edited by place, never decoded and encoded again (invariant I7). An
//! event that needs nothing costs a look at its places and one search through its bodies, and no allocation.
//!
//! What is masked is decided twice. By what the event is about, as its `objectRef` says (`class`): a body may be an
//! object, a list, a table, or a patch that does not say of what. And by what a body holds (`embedded`): manifests of
//! Secrets are in lists, in custom resources, and as JSON in strings. What is not understood in a sensitive place is
//! masked whole, so redaction cannot fail.

mod body;
mod class;
mod embedded;
mod key;
mod names;
mod pair;
mod query;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem::Finder;

use crate::config;
use crate::event::{Field, Parts};
use crate::json::{self, Edits};
use crate::policy::omit_managed_fields;
use body::{Findings, How, Scope};
use class::{Class, Coding};
use embedded::{Kind, has_escaped_letters, is_key};
use pair::Pair;

pub use key::{FILE as KEY_FILE, Key, KeyError};

/// Admission webhooks' patches of the body, as JSON in a string.
const WEBHOOK_PATCH: &str = "patch.webhook.admission.k8s.io/";
/// What a token that was issued will be called in `user.extra`.
const ISSUED_CREDENTIAL: &str = "authentication.kubernetes.io/issued-credential-id";

/// Answers to a body that was read and is in order: what they say is of names, and tells more than it shows, unless an
/// admission policy denied the request ([`DENIED`]). Others may quote the body, as kube-apiserver's decoder did before 1.23.
const CODES_WITHOUT_QUOTES: [&[u8]; 10] =
    [b"401", b"403", b"404", b"405", b"409", b"410", b"429", b"503", b"504", b"507"];
/// In messages of admission webhooks (`denied the request`) and policies (`denied request`). They choose the code, 403 as a
/// rule, and the words, which may quote the body.
const DENIED: &[u8] = b" denied ";

/// What is masked, and with which key. Never changes; shared by the batches of an output.
#[derive(Debug)]
pub struct Redaction {
    key: Key,
    config_maps: bool,
    managed_fields: bool,
    secret: Kind,
    config_map: Kind,
    env: Option<Kind>,
    signature: Finder<'static>,
    extra: Pair,
}

impl Redaction {
    /// Masks what `config` says, whether or not it is enabled there.
    #[must_use]
    pub fn new(key: Key, config: &config::Redact) -> Self {
        Self {
            key,
            config_maps: config.config_maps,
            managed_fields: config.managed_fields,
            secret: Kind::secret(),
            config_map: Kind::config_map(),
            env: config.pod_env.then(Kind::env),
            signature: Finder::new(class::SIGNATURE),
            extra: Pair::of(b"\"extra", 0, 2),
        }
    }

    /// What an output is configured to have; `None` if nothing is to be masked. Makes the state directory's key, if it
    /// is that one and there is none yet: this is for the daemon, which holds the directory.
    ///
    /// # Errors
    /// There is no key.
    pub fn of_output(config: &config::Redact, state_dir: &Path) -> Result<Option<Arc<Self>>, KeyError> {
        Self::with(config, || Key::of_state_dir(state_dir))
    }

    /// The same for a command beside the daemon: a key that it made could be one that the daemon cannot read.
    ///
    /// # Errors
    /// There is no key.
    pub fn beside_daemon(config: &config::Redact, state_dir: &Path) -> Result<Option<Arc<Self>>, KeyError> {
        Self::with(config, || Key::load(&state_dir.join(KEY_FILE)))
    }

    fn with(
        config: &config::Redact,
        own_key: impl FnOnce() -> Result<Key, KeyError>,
    ) -> Result<Option<Arc<Self>>, KeyError> {
        if !config.enabled {
            return Ok(None);
        }
        let key = config.key_file.as_deref().map_or_else(own_key, Key::load)?;
        Ok(Some(Arc::new(Self::new(key, config))))
    }

    /// Puts `line`, an event of which these are the parts, without what must not leave into `out`, and returns true; or
    /// returns false if there is nothing to mask, and leaves `out` alone.
    pub fn apply(&self, line: &[u8], parts: &Parts, out: &mut Vec<u8>) -> bool {
        let mut edits = Edits::default();
        if let Some(place) = parts.place(Field::RequestUri) {
            query::mask(line, place, &self.key, &mut edits);
        }
        let mut findings = Findings::in_text(line);
        self.look_at_users(parts, &mut findings);
        let object_ref = parts.value(line, Field::ObjectRef).unwrap_or_default();
        let class = Class::of(object_ref, self.config_maps);
        let status = parts.place(Field::ResponseStatus).filter(|_| class.is_sensitive());
        let messages = status.as_ref().is_some_and(|status| may_quote(line, status));
        if let Some(status) = status.filter(|_| messages) {
            findings.value(status, Scope { class: Class::Other, env: false, messages });
        }
        let request = parts.place(Field::RequestObject);
        let response = parts.place(Field::ResponseObject);
        let annotations = parts.place(Field::Annotations);
        // One search through all of them, which stand beside each other, and as a rule none more.
        let named = self.named_in(line, [&request, &response, &annotations].into_iter().flatten());
        if let Some(place) = &request {
            // Of all bodies these alone stand in the log as the client wrote them.
            let is_patch = parts.value(line, Field::Verb) == Some(b"\"patch\"");
            self.look_at_body(place, class, is_patch, false, named, &mut findings);
            if self.managed_fields && !is_patch {
                omit_managed_fields(line, place.start, &mut edits);
            }
        }
        if let Some(place) = &response {
            self.look_at_body(place, class, false, messages, named, &mut findings);
            if self.managed_fields {
                omit_managed_fields(line, place.start, &mut edits);
            }
        }
        if let Some(place) = annotations {
            self.look_at_annotations(&place, class, named, &mut findings);
        }
        findings.for_each_value(&[request, response], |place, coding| {
            if let Some(mark) = self.mark(&line[place.clone()], coding) {
                edits.replace(place, mark.into_bytes());
            }
        });
        let is_changed = !edits.is_empty();
        if is_changed {
            edits.apply(line, out);
        }
        is_changed
    }

    /// What authenticators say of the user, and of the one who is impersonated.
    fn look_at_users(&self, parts: &Parts, findings: &mut Findings<'_>) {
        let line = findings.text();
        for place in [Field::User, Field::ImpersonatedUser].into_iter().filter_map(|user| parts.place(user)) {
            if !self.extra.may_be_in(&line[place.clone()]) {
                continue;
            }
            for member in json::members(line, place.start) {
                if is_key(&line[member.key], "extra") {
                    findings.extra(member.value);
                }
            }
        }
    }

    fn look_at_body(
        &self,
        place: &Range<usize>,
        class: Class,
        is_patch: bool,
        messages: bool,
        named: bool,
        findings: &mut Findings<'_>,
    ) {
        let body = &findings.text()[place.clone()];
        let may_hide = is_patch && has_escaped_letters(body);
        let env = self.env.as_ref().is_some_and(|env| is_patch || env.may_be_in(body));
        let class = match class {
            Class::SignedConfigMaps if !may_hide && self.signature.find(body).is_none() => Class::Other,
            class => class,
        };
        if class != Class::Other || env || messages {
            findings.body(place.clone(), Scope { class, env, messages });
        }
        if may_hide || named {
            self.look_for_embedded(place, may_hide, findings);
        }
    }

    /// The kinds of objects that are looked for, and what one of them is about.
    fn kinds(&self) -> impl Iterator<Item = (&Kind, Class)> {
        let kinds = [
            Some((&self.secret, Class::Secrets)),
            Some((&self.config_map, Class::ConfigMaps)).filter(|_| self.config_maps),
            self.env.as_ref().map(|env| (env, Class::Other)),
        ];
        kinds.into_iter().flatten()
    }

    /// Whether the name of such a kind is in one of these places, or between them.
    fn named_in<'a>(&self, line: &[u8], places: impl Iterator<Item = &'a Range<usize>>) -> bool {
        let all = places.cloned().reduce(|all, place| all.start.min(place.start)..all.end.max(place.end));
        all.is_some_and(|all| self.kinds().any(|(kind, _)| kind.may_be_in(&line[all.clone()])))
    }

    /// Objects that the body holds, whatever it is of, and strings that hold some.
    fn look_for_embedded(&self, place: &Range<usize>, may_hide: bool, findings: &mut Findings<'_>) {
        for (kind, class) in self.kinds() {
            let text = findings.text();
            if !may_hide && !kind.may_be_in(&text[place.clone()]) {
                continue;
            }
            let found = kind.find(text, place.clone());
            for object in found.objects {
                findings.value(object, Scope { class, env: self.env.is_some(), messages: false });
            }
            for opaque in found.opaque {
                findings.add(opaque, How::Whole);
            }
        }
    }

    fn look_at_annotations(
        &self,
        place: &Range<usize>,
        class: Class,
        named: bool,
        findings: &mut Findings<'_>,
    ) {
        let text = findings.text();
        if class.is_sensitive() || self.env.is_some() {
            for member in json::members(text, place.start) {
                let Some(key) = json::unescaped(&text[member.key]) else { continue };
                let is_patch = key.starts_with(WEBHOOK_PATCH);
                // Its operations lead to environment variables by paths.
                let has_env = || memchr::memmem::find(&text[member.value.clone()], b"/env").is_some();
                let is_masked = is_patch && (class.is_sensitive() || has_env());
                if is_masked || class.is_sensitive() && key == ISSUED_CREDENTIAL {
                    findings.add(member.value, How::Within(Coding::Text));
                }
            }
        }
        if named {
            self.look_for_embedded(place, false, findings);
        }
    }

    /// The mark of a value, as JSON; `None` if it is one already.
    fn mark(&self, value: &[u8], coding: Coding) -> Option<String> {
        let text = json::unescaped(value);
        let bytes = text.as_deref().map_or(value, str::as_bytes);
        if key::is_mark(bytes) {
            return None;
        }
        let decoded = match coding {
            Coding::Base64 if text.is_some() => STANDARD.decode(bytes).ok(),
            Coding::Base64 | Coding::Text => None,
        };
        Some(format!("\"{}\"", self.key.mark(decoded.as_deref().unwrap_or(bytes))))
    }
}

/// Whether the `status` is of a request whose body it may quote.
fn may_quote(text: &[u8], status: &Range<usize>) -> bool {
    let Some(code) = json::member(text, status.start, "code").map(|place| &text[place]) else { return true };
    let is_denied = || memchr::memmem::find(&text[status.clone()], DENIED).is_some();
    !code.starts_with(b"2") && (!CODES_WITHOUT_QUOTES.contains(&code) || is_denied())
}

#[cfg(test)]
mod tests;
