//! How many backups a rotator leaves, by what it was seen to delete.
//!
//! Each rotation makes one more. Where there are no more after one than there were after the one before, one was deleted;
//! and where there are fewer than at the last look. Somebody may have deleted them by hand: then there are more again in
//! time, and what is there counts.

use super::Look;

#[derive(Debug, Default)]
pub(super) struct Kept {
    last: Option<Seen>,
    after_rotation: u64,
    after_deletion: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    live_sequence: u64,
    live_bytes: u64,
    backups: u64,
}

impl Kept {
    pub(super) fn look(&mut self, look: &Look) {
        // Between a rename and the next live file one backup is not one yet.
        let Some(live) = look.live() else { return };
        let backups = look.backups().count() as u64;
        let seen = Seen { live_sequence: live.sequence, live_bytes: live.content_bytes, backups };
        let Some(last) = self.last.replace(seen) else {
            self.after_rotation = backups;
            return;
        };
        // Renamed, or copied and truncated.
        let is_rotated = last.live_sequence != seen.live_sequence || last.live_bytes > seen.live_bytes;
        if backups < last.backups || (is_rotated && backups <= self.after_rotation) {
            self.after_deletion = Some(backups);
        }
        if is_rotated {
            self.after_rotation = backups;
        }
    }

    /// So many were left when one was deleted last.
    pub(super) fn after_deletion(&self) -> Option<u64> {
        self.after_deletion
    }
}
