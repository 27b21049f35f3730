//! What is taken out of an event (kubernetes-audit.md, section 12).

use std::ops::Range;

use super::Decision;
use crate::event::{Field, Level, Parts};
use crate::json::{self, Edits};

/// Begins the keys of annotations that kube-apiserver writes at level Request and above only.
const PATCHES: &str = "patch.webhook.admission.k8s.io/";

/// Notes in `edits` what `decision` changes in `line`, an event that was recorded at `recorded` and is kept.
pub(super) fn changes(decision: &Decision, line: &[u8], recorded: Level, parts: &Parts, edits: &mut Edits) {
    // Nobody can tell what belongs to a level that we do not know.
    if recorded == Level::None {
        return;
    }
    let level = decision.level_of(recorded);
    if let Some(place) = parts.place(Field::Level).filter(|_| level < recorded) {
        edits.replace(place, quoted(level));
    }
    let response = parts.place(Field::ResponseObject);
    let request = parts.place(Field::RequestObject);
    let (response_goes, request_goes) = (level < Level::RequestResponse, level < Level::Request);
    // kube-apiserver wrote them only if the request was recorded, so there are none unless it was.
    let annotations = parts.place(Field::Annotations).filter(|_| request_goes && level < recorded);
    // What goes as a whole, and what loses a part.
    let whole_annotations = annotations.clone().filter(|place| {
        let mut keys = json::members(line, place.start).map(|member| is_patch(&line[member.key])).peekable();
        keys.peek().is_some() && keys.all(|is_patch| is_patch)
    });
    if let Some(place) = annotations.filter(|_| whole_annotations.is_none()) {
        edits.remove_members(line, place.start, is_patch);
    }
    if decision.omit_managed_fields {
        let is_patch = parts.value(line, Field::Verb).is_some_and(|verb| json::is_text(verb, "patch"));
        // The body of a patch is recorded as it was sent.
        let request = request.clone().filter(|_| !request_goes && !is_patch);
        let response = response.clone().filter(|_| !response_goes);
        for body in [request, response].into_iter().flatten() {
            omit_managed_fields(line, body.start, edits);
        }
    }
    let (response, request) = (response.filter(|_| response_goes), request.filter(|_| request_goes));
    edits.remove_members_at(line, [response, request, whole_annotations]);
}

fn quoted(level: Level) -> &'static [u8] {
    match level {
        Level::RequestResponse => b"\"RequestResponse\"",
        Level::Request => b"\"Request\"",
        Level::Metadata => b"\"Metadata\"",
        Level::None => b"\"None\"",
    }
}

fn is_patch(key: &[u8]) -> bool {
    json::unescaped(key).is_some_and(|key| key.starts_with(PATCHES))
}

/// Takes the managed fields out of the body at `start` of `line`: its own, those of the items of a list, and those of the
/// objects in the rows of a table.
pub fn omit_managed_fields(line: &[u8], start: usize, edits: &mut Edits) {
    omit_own(line, start, edits);
    let mut is_table = None;
    for member in json::members(line, start) {
        let (key, value) = (&line[member.key], member.value.start);
        if json::is_text(key, "items") {
            json::items(line, value).for_each(|item| omit_own(line, item.start, edits));
        } else if json::is_text(key, "rows") && *is_table.get_or_insert_with(|| self::is_table(line, start)) {
            let objects = json::items(line, value).filter_map(|row| json::member(line, row.start, "object"));
            objects.for_each(|object| omit_own(line, object.start, edits));
        }
    }
}

fn is_table(line: &[u8], start: usize) -> bool {
    json::member(line, start, "kind").is_some_and(|kind: Range<usize>| json::is_text(&line[kind], "Table"))
}

fn omit_own(line: &[u8], start: usize, edits: &mut Edits) {
    for member in
        json::members(line, start).filter(|member| json::is_text(&line[member.key.clone()], "metadata"))
    {
        edits.remove_members(line, member.value.start, |key| json::is_text(key, "managedFields"));
    }
}
