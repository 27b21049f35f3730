//! The cursor's way to the disk.

use tokio::time::Instant;

use super::Shipping;
use crate::checkpoint::Cursor;

impl Shipping {
    /// Writes the cursor. While that fails it is tried once a second, not for each batch: a new file is laid out each
    /// time, with an fsync.
    pub(super) fn commit(&mut self, cursor: &Cursor) {
        match &mut self.unwritten {
            Some(unwritten) => unwritten.clone_from(cursor),
            None => self.write(cursor),
        }
    }

    fn write(&mut self, cursor: &Cursor) {
        let output = &self.route.config.name;
        match self.route.store.commit(cursor) {
            Ok(()) => {
                if self.unwritten.take().is_some() {
                    tracing::warn!(output, "the cursor can be written again");
                }
                self.committed = true;
            }
            Err(error) => {
                if self.unwritten.replace(cursor.clone()).is_none() {
                    tracing::warn!(output, %error, "the cursor cannot be written; a restart would send again what was sent since");
                }
            }
        }
    }

    /// Has the disk confirm the cursor, off the async threads; not again while that is still under way. One that could
    /// not be written is tried again: if nothing follows, no other will take its place.
    pub(super) fn sync(&mut self) {
        self.synced_at = Instant::now();
        if let Some(cursor) = self.unwritten.clone() {
            self.write(&cursor);
        }
        if self.syncing.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        self.committed = false;
        let Some(file) = self.route.store.sync_handle() else { return };
        let output = self.route.config.name.clone();
        self.syncing = Some(tokio::task::spawn_blocking(move || {
            if let Err(error) = file.sync_data() {
                tracing::warn!(output, %error, "the disk does not confirm the cursor");
            }
        }));
    }

    pub(super) async fn last_sync(mut self) {
        self.sync();
        if let Some(task) = self.syncing {
            let _ = task.await;
        }
        if let Err(error) = self.route.store.sync() {
            tracing::warn!(output = self.route.config.name, %error, "the disk does not confirm the cursor");
        }
    }
}
