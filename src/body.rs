//! A request's body in pieces that are shared, not copied: a batch's buffers are its body's.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::ops::AddAssign;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

/// The pieces, in order. A clone shares them.
#[derive(Debug, Clone, Default)]
pub struct Body {
    pieces: VecDeque<Bytes>,
    coding: Option<Coding>,
    /// How many bytes it has if it is unpacked by the rules of its own protocol.
    unpacked_bytes: Option<u64>,
}

/// A content coding (RFC 9110, 8.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

impl Coding {
    /// Its name in `Content-Encoding`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// How much one or more bodies are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Size {
    /// Bytes before they were coded.
    pub body_bytes: u64,
    /// Bytes that were sent.
    pub sent_bytes: u64,
}

impl AddAssign for Size {
    fn add_assign(&mut self, other: Self) {
        self.body_bytes += other.body_bytes;
        self.sent_bytes += other.sent_bytes;
    }
}

impl Body {
    /// Pieces that have to be decoded to get at what they say.
    pub fn coded(pieces: impl IntoIterator<Item = Bytes>, coding: Coding) -> Self {
        Self { coding: Some(coding), ..pieces.into_iter().collect() }
    }

    /// What its protocol wants packed, which is no coding of HTTP's.
    #[must_use]
    pub fn packed(bytes: Bytes, unpacked_bytes: u64) -> Self {
        Self { unpacked_bytes: Some(unpacked_bytes), ..std::iter::once(bytes).collect() }
    }

    /// How it is coded, if it is.
    #[must_use]
    pub fn coding(&self) -> Option<Coding> {
        self.coding
    }

    /// Its length in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.len() as u64).sum()
    }

    /// The same before it was packed as its protocol wants it, if it is.
    #[must_use]
    pub fn unpacked_len(&self) -> u64 {
        self.unpacked_bytes.unwrap_or_else(|| self.len())
    }

    /// Whether it has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its bytes, in order.
    pub fn pieces(&self) -> impl Iterator<Item = &Bytes> {
        self.pieces.iter()
    }

    /// Its bytes in one piece.
    #[must_use]
    pub fn concat(&self) -> Vec<u8> {
        self.pieces.iter().flat_map(|piece| piece.iter().copied()).collect()
    }
}

impl FromIterator<Bytes> for Body {
    fn from_iter<I: IntoIterator<Item = Bytes>>(pieces: I) -> Self {
        let pieces = pieces.into_iter().filter(|piece| !piece.is_empty()).collect();
        Self { pieces, ..Self::default() }
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.pieces.pop_front().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Exact, so that a Content-Length is sent.
    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.len())
    }
}
