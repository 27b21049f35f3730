//! Where the fields of an event are that a document repeats elsewhere.

use std::ops::Range;

use crate::json;

/// Places in an item; of a field that is there twice, the last.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Fields {
    pub(super) verb: Option<Range<usize>>,
    pub(super) username: Option<Range<usize>>,
    pub(super) uid: Option<Range<usize>>,
    pub(super) user_extra: Option<Range<usize>>,
    pub(super) impersonated_extra: Option<Range<usize>>,
    pub(super) source_ips: Option<Range<usize>>,
    pub(super) user_agent: Option<Range<usize>>,
    pub(super) request_object: Option<Range<usize>>,
    pub(super) response_object: Option<Range<usize>>,
    pub(super) received: Option<Range<usize>>,
    pub(super) stage_time: Option<Range<usize>>,
    pub(super) annotations: Option<Range<usize>>,
}

impl Fields {
    /// The places in `item`, which begins with its `{`. Keys are looked for as kube-apiserver spells them, without escapes.
    pub(super) fn find(item: &[u8]) -> Self {
        let mut fields = Self::default();
        for member in json::members(item, 0) {
            let start = member.value.start;
            let place = Some(member.value);
            match &item[member.key] {
                br#""verb""# => fields.verb = place,
                br#""user""# => fields.find_user(item, start),
                br#""impersonatedUser""# => fields.impersonated_extra = json::member(item, start, "extra"),
                br#""sourceIPs""# => fields.source_ips = place,
                br#""userAgent""# => fields.user_agent = place,
                br#""requestObject""# => fields.request_object = place,
                br#""responseObject""# => fields.response_object = place,
                br#""requestReceivedTimestamp""# => fields.received = place,
                br#""stageTimestamp""# => fields.stage_time = place,
                br#""annotations""# => fields.annotations = place,
                _ => {}
            }
        }
        fields
    }

    fn find_user(&mut self, item: &[u8], start: usize) {
        for member in json::members(item, start) {
            let place = Some(member.value);
            match &item[member.key] {
                br#""username""# => self.username = place,
                br#""uid""# => self.uid = place,
                br#""extra""# => self.user_extra = place,
                _ => {}
            }
        }
    }
}

/// A string at `place` that says something, with its quotes.
pub(super) fn text<'a>(item: &'a [u8], place: Option<&Range<usize>>) -> Option<&'a [u8]> {
    let text = item.get(place?.clone())?;
    (text.first() == Some(&b'"') && text != b"\"\"").then_some(text)
}
