//! A body, compressed: piece by piece, with a context that is used again.
//!
//! Neither the body nor what becomes of it is ever in one piece. The output goes into buffers of the output's pool; what
//! does not fill half of one is copied out of it, so that a small body does not hold a large buffer. Events are made
//! several times smaller; what cannot be made smaller takes a sixteenth more, with gzip at level 1, or less than that.

use std::io;

use bytes::Bytes;
use flate2::{Compress, FlushCompress, Status};
use zstd::stream::raw::{CParameter, Encoder, InBuffer, Operation as _, OutBuffer};

use crate::body::{Body, Coding};
use crate::buffers::{BUFFER_BYTES, Buffer, Buffers};
use crate::config::Compression;

/// 32 KiB, the largest that there is.
const GZIP_WINDOW_BITS: u8 = 15;

/// Compresses one body after the other.
pub struct Compressor {
    compression: Compression,
    buffers: Buffers,
    /// Made when it is first needed, and made anew after an error.
    codec: Option<Codec>,
}

/// The context of one library, between two bodies or in the midst of one.
enum Codec {
    Gzip(Compress),
    Zstd(Encoder<'static>),
}

impl Compressor {
    /// Compresses like this into `buffers`.
    #[must_use]
    pub fn new(compression: Compression, buffers: Buffers) -> Self {
        Self { compression, buffers, codec: None }
    }

    /// `body` compressed. The same body gives the same bytes each time.
    ///
    /// # Errors
    /// There is no memory for the context, or `is_wanted` says that the result is wanted no more; it is asked now and
    /// then, since the highest levels take seconds for a large body.
    pub fn compress(&mut self, body: &Body, is_wanted: impl Fn() -> bool) -> io::Result<Body> {
        let mut codec = match self.codec.take() {
            Some(codec) => codec,
            None => Codec::new(self.compression)?,
        };
        let mut output = Output { pieces: Vec::new(), filling: None, buffers: &self.buffers };
        codec.begin(body.len())?;
        // A long event has a buffer of its own, which may be as long as the event.
        for mut input in body.pieces().flat_map(|piece| piece.chunks(BUFFER_BYTES)) {
            if !is_wanted() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            while !input.is_empty() {
                let taken = codec.take(input, output.room())?;
                input = &input[taken..];
            }
        }
        while !codec.end(output.room())? {}
        self.codec = Some(codec);
        Ok(Body::coded(output.finish(), self.compression.coding))
    }
}

impl Codec {
    fn new(Compression { coding, level }: Compression) -> io::Result<Self> {
        match coding {
            Coding::Gzip => {
                Ok(Self::Gzip(Compress::new_gzip(flate2::Compression::new(level.into()), GZIP_WINDOW_BITS)))
            }
            Coding::Zstd => {
                let mut encoder = Encoder::new(level.into())?;
                // As gzip has one: what was spoilt on its way is told from what was sent.
                encoder.set_parameter(CParameter::ChecksumFlag(true))?;
                Ok(Self::Zstd(encoder))
            }
        }
    }

    /// Begins a body of so many bytes.
    fn begin(&mut self, bytes: u64) -> io::Result<()> {
        match self {
            Self::Gzip(context) => context.reset(),
            // Its last body has come to its end, or there would be no context any more.
            Self::Zstd(encoder) => encoder.set_pledged_src_size(Some(bytes))?,
        }
        Ok(())
    }

    /// Appends to `output`, which has room, what comes of `input`. Returns how much of the input that took.
    fn take(&mut self, input: &[u8], output: &mut Vec<u8>) -> io::Result<usize> {
        match self {
            Self::Gzip(context) => {
                let before = context.total_in();
                context.compress_vec(input, output, FlushCompress::None)?;
                usize::try_from(context.total_in() - before).map_err(io::Error::other)
            }
            Self::Zstd(encoder) => {
                let mut input = InBuffer::around(input);
                let filled = output.len();
                encoder.run(&mut input, &mut OutBuffer::around_pos(output, filled))?;
                Ok(input.pos())
            }
        }
    }

    /// Appends what is left to `output`, which has room. True if that was all of it.
    fn end(&mut self, output: &mut Vec<u8>) -> io::Result<bool> {
        match self {
            Self::Gzip(context) => {
                Ok(context.compress_vec(&[], output, FlushCompress::Finish)? == Status::StreamEnd)
            }
            Self::Zstd(encoder) => {
                let filled = output.len();
                Ok(encoder.finish(&mut OutBuffer::around_pos(output, filled), true)? == 0)
            }
        }
    }
}

/// Where a compressed body comes into being.
struct Output<'a> {
    pieces: Vec<Bytes>,
    filling: Option<Buffer>,
    buffers: &'a Buffers,
}

impl Output<'_> {
    /// A buffer with room.
    fn room(&mut self) -> &mut Vec<u8> {
        if let Some(full) = self.filling.take_if(|buffer| !buffer.has_room(1)) {
            self.pieces.push(full.freeze());
        }
        self.filling.get_or_insert_with(|| self.buffers.take(BUFFER_BYTES))
    }

    fn finish(self) -> Vec<Bytes> {
        let Self { mut pieces, filling, .. } = self;
        pieces.extend(filling.map(|last| {
            if last.len() < BUFFER_BYTES / 2 { Bytes::copy_from_slice(&last) } else { last.freeze() }
        }));
        pieces
    }
}

#[cfg(test)]
pub(crate) mod tests;
