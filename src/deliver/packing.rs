//! Bodies as they are sent: compressed if the output says so, and as long as the endpoint understands that.
//!
//! To compress is CPU work of milliseconds, so it is done off the async threads; of one output in one thread at a time,
//! since that is what it may cost the node. Meanwhile the next batch is read in another thread, so a backlog is drained as
//! fast as the slower of the two.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Mutex, Semaphore, SemaphorePermit};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use crate::body::{Body, Coding};
use crate::buffers::Buffers;
use crate::compress::Compressor;
use crate::config;
use crate::sink::Answer;

/// What an endpoint answers that does not understand a content coding (RFC 9110, 15.5.16).
const NOT_UNDERSTOOD: u16 = 415;

/// Packs the bodies of one output.
pub(super) struct Packing {
    output: String,
    /// Which field of the output says how.
    field: String,
    compressor: Option<Arc<Mutex<Compressor>>>,
    not_understood: AtomicBool,
    turns: Semaphore,
}

/// Bodies that are there at a time before they are compressed: one that is compressed, and the next one.
const MOST_PLAIN: usize = 2;

impl Packing {
    /// As `output` wants it, into `buffers`.
    pub(super) fn new(output: &config::Output, buffers: Buffers) -> Self {
        let compressor = output.requests.compression.map(|how| Compressor::new(how, buffers));
        Self {
            output: output.name.clone(),
            field: format!("{}.compression", output.destination.name()),
            compressor: compressor.map(|compressor| Arc::new(Mutex::new(compressor))),
            not_understood: AtomicBool::new(false),
            turns: Semaphore::new(MOST_PLAIN),
        }
    }

    /// Whether bodies are compressed.
    pub(super) fn compresses(&self) -> bool {
        self.compressor.is_some() && !self.not_understood.load(Ordering::Relaxed)
    }

    /// The field that says how.
    pub(super) fn field(&self) -> &str {
        &self.field
    }

    /// The right to make a body that is to be compressed, which may be as large as its events; until it is compressed.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        if self.compresses() { self.turns.acquire().await.ok() } else { None }
    }

    /// `plain` as it is to be sent.
    pub(super) async fn pack(&self, plain: &Body) -> Body {
        let Some(compressor) = &self.compressor else { return plain.clone() };
        let mut compressor = Arc::clone(compressor).lock_owned().await;
        // The endpoint may have said so to another one meanwhile.
        if !self.compresses() {
            return plain.clone();
        }
        let unwanted = CancellationToken::new();
        let _until_dropped = unwanted.clone().drop_guard();
        let body = plain.clone();
        let work = spawn_blocking(move || compressor.compress(&body, || !unwanted.is_cancelled()));
        let reason = match work.await {
            Ok(Ok(packed)) => return packed,
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        tracing::warn!(output = self.output, reason, "a body cannot be compressed; it is sent as it is");
        plain.clone()
    }

    /// The endpoint has taken a body as it is and not `packed`, so it does not understand how that is coded. Nothing is
    /// compressed from then on: what it understands changes with its configuration, and ours is to be changed then too.
    pub(super) fn is_not_understood(&self, packed: &Body) {
        let Some(coding) = packed.coding() else { return };
        if !self.not_understood.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                output = self.output,
                "the endpoint does not understand {} (status {NOT_UNDERSTOOD}); bodies are sent as they are until \
                 the next start; set {} to none or to what it understands",
                Coding::as_str(coding),
                self.field
            );
        }
    }
}

/// Whether this answer may be about how `body` is coded. It may also be about its type: then it is the same without.
pub(super) fn may_be_about_coding(body: &Body, answer: &Answer) -> bool {
    body.coding().is_some() && answer.status == NOT_UNDERSTOOD
}
