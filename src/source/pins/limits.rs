//! How much we may hold that nobody else does any more: bytes, files, and the disk that others need.
//!
//! If it becomes too much, the oldest file goes. If its compressed form is still there under its name, that takes its
//! place and nothing is lost.

use std::path::Path;
use std::sync::Arc;

use super::known::Known;
use super::{Missing, PinSet, State};
use crate::checkpoint::HEAD_BYTES;
use crate::config;
use crate::source::held::Held;
use crate::source::reader;

impl PinSet {
    /// How much of what was deleted is held from now on.
    pub fn limit(&self, limits: config::Pins) {
        self.state().limits = limits;
    }

    /// Gives up the oldest nameless files as long as there are too many.
    pub(super) fn keep_limits(&self, state: &mut State) {
        let mut free_wanted = missing_free_bytes(state);
        loop {
            let (files, bytes) = alone(state);
            let cause = if bytes > state.limits.limit {
                format!("deleted files take up more than pinLimit ({} bytes)", state.limits.limit)
            } else if files > state.limits.max_files as u64 {
                format!("there are more deleted files than pinMaxFiles ({})", state.limits.max_files)
            } else if free_wanted > 0 {
                "the disk has less free space than pinMinFree".to_owned()
            } else {
                break;
            };
            let Some(index) = state.known.iter().position(|known| known.alone && known.held.is_some()) else {
                break;
            };
            free_wanted = free_wanted.saturating_sub(state.known[index].size);
            if state.known[index].turn_to_compressed() {
                state.drop_keeping(index);
            } else {
                state.give_up(index, cause);
            }
        }
        self.show_alone(state);
    }

    pub(super) fn show_alone(&self, state: &State) {
        let (files, bytes) = alone(state);
        (self.show)(files, bytes);
    }
}

/// Bytes that have to become free on the log's file system, if there is anything that we could give.
fn missing_free_bytes(state: &State) -> u64 {
    let mut alone = state.known.iter().filter(|known| known.alone);
    // Through links the files may lie on another file system than the log's name.
    let of_file = |held: &Arc<Held>| held.with(|file| Ok(rustix::fs::fstatvfs(file)?)).ok();
    let Some(disk) = alone.find_map(|known| of_file(known.held.as_ref()?)) else { return 0 };
    let wanted = state.limits.min_free.bytes_of(disk.f_blocks.saturating_mul(disk.f_frsize));
    wanted.saturating_sub(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Number and bytes of the files that we alone hold.
fn alone(state: &State) -> (u64, u64) {
    let alone = state.known.iter().filter(|known| known.alone && known.held.is_some());
    alone.fold((0, 0), |(files, bytes), known| (files + 1, bytes + known.size))
}

impl State {
    fn give_up(&mut self, index: usize, cause: String) {
        let known = &mut self.known[index];
        let Some(held) = known.held.take() else { return };
        let content_bytes = if known.entry.gz {
            reader::gz_trailer_bytes(&held).ok().map(u64::from)
        } else {
            Some(known.size)
        };
        held.give_up();
        let missing = Missing {
            sequence: Some(known.sequence),
            base: known.entry.base.clone(),
            from: None,
            // A compressed file that does not tell its length may have been read to its end.
            certain: content_bytes.is_some(),
            content_bytes,
            cause,
        };
        let outputs = std::mem::take(&mut known.waiting);
        self.drop_keeping(index);
        self.tell(&outputs, &missing);
        self.forget_settled();
    }
}

impl Known {
    /// Holds the compressed form of this file instead, if it is there and whole.
    fn turn_to_compressed(&mut self) -> bool {
        if self.entry.gz {
            return false;
        }
        let mut name = self.entry.path.clone().into_os_string();
        name.push(".gz");
        let Some(plain) = self.held.as_ref().filter(|plain| is_compressed_from(Path::new(&name), plain))
        else {
            return false;
        };
        let Ok(gz) = Held::open(Path::new(&name)) else { return false };
        #[expect(clippy::cast_possible_truncation, reason = "the trailer counts modulo 2^32")]
        let is_whole = reader::gz_trailer_bytes(&gz).is_ok_and(|bytes| bytes == self.size as u32);
        let Ok(metadata) = gz.metadata() else { return false };
        if !is_whole {
            return false;
        }
        plain.give_up();
        (self.id, self.size, self.modified) = (gz.id(), metadata.len(), metadata.modified().ok());
        (self.named, self.alone, self.exact) = (true, false, true);
        self.held = Some(Arc::new(gz));
        self.entry.gz = true;
        self.entry.path = name.into();
        true
    }
}

/// Whether the file at `gz` begins with the same content.
pub(super) fn is_compressed_from(gz: &Path, plain: &Held) -> bool {
    let mut head = vec![0; HEAD_BYTES];
    let Ok(count) = plain.read_full_at(&mut head, 0) else { return false };
    head.truncate(count);
    Held::open(gz).is_ok_and(|gz| {
        reader::head_of(&Arc::new(gz), true, count).is_ok_and(|content| count > 0 && content == head)
    })
}
