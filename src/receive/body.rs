//! Reads the body of a request, plain, gzip or zstd, within bounds.

use std::io::{self, Read};
use std::time::Duration;

use flate2::read::MultiGzDecoder;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_ENCODING, HeaderMap};
use tokio::time::timeout;
use zstd::stream::read::Decoder;

/// Bytes of a body, before and after it is decoded.
pub(super) const MAX_BYTES: usize = 128 << 20;
/// 8 MiB: a decoder needs to support no larger window, and whoever sends one is to be refused (RFC 9659).
const ZSTD_WINDOW_LOG: u32 = 23;
/// kube-apiserver and `audit-shipper run` give up after 30 s; who is slower only holds memory.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// What is read of a body that nobody wants: a sender that is cut off while it writes does not read our answer.
const DISCARD_BYTES: usize = 16 << 20;
const DISCARD_TIMEOUT: Duration = Duration::from_secs(5);

/// `Content-Encoding` as far as it is understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

impl Encoding {
    /// `None` if the body is encoded in another way.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        match headers.get(CONTENT_ENCODING).map(|value| value.as_bytes().trim_ascii()) {
            None | Some(b"") => Some(Self::Identity),
            Some(value) if value.eq_ignore_ascii_case(b"identity") => Some(Self::Identity),
            Some(value) if value.eq_ignore_ascii_case(b"gzip") => Some(Self::Gzip),
            Some(value) if value.eq_ignore_ascii_case(b"x-gzip") => Some(Self::Gzip),
            Some(value) if value.eq_ignore_ascii_case(b"zstd") => Some(Self::Zstd),
            Some(_) => None,
        }
    }
}

/// Why there is no body.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    #[error("the body is larger than {MAX_BYTES} bytes")]
    TooLarge,
    #[error("the body did not arrive within {} seconds", READ_TIMEOUT.as_secs())]
    TooSlow,
    #[error("the body broke off: {0}")]
    Broken(hyper::Error),
    #[error("the body is not gzip: {0}")]
    NotGzip(io::Error),
    #[error("the body is not zstd: {0}")]
    NotZstd(io::Error),
}

/// Bytes of memory to set aside for the body before it is read; `None` if it says itself that it is too large.
pub(super) fn room(body: &impl Body, encoding: Encoding) -> Option<u32> {
    let most = u32::try_from(MAX_BYTES).expect("128 MiB fit");
    let Some(declared) = body.size_hint().exact() else { return Some(most) };
    let declared = u32::try_from(declared).ok().filter(|length| *length <= most)?;
    Some(if encoding == Encoding::Identity { declared } else { most })
}

/// The body as it was sent.
pub(super) async fn read(body: Incoming) -> Result<Vec<u8>, BodyError> {
    timeout(READ_TIMEOUT, collect(body)).await.unwrap_or(Err(BodyError::TooSlow))
}

async fn collect(mut body: Incoming) -> Result<Vec<u8>, BodyError> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Some(data) = frame.map_err(BodyError::Broken)?.data_ref() {
            if data.len() > MAX_BYTES - bytes.len() {
                drop(bytes);
                discard(body).await;
                return Err(BodyError::TooLarge);
            }
            bytes.extend_from_slice(data);
        }
    }
    Ok(bytes)
}

/// Reads and forgets, so that the sender comes to read our answer.
pub(super) async fn discard(mut body: Incoming) {
    let drain = async {
        let mut left = DISCARD_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, bytes::Bytes::len);
            let Some(rest) = left.checked_sub(length) else { return };
            left = rest;
        }
    };
    // Best effort: at the worst the sender sees a reset connection instead of our answer.
    let _ = timeout(DISCARD_TIMEOUT, drain).await;
}

/// The body as it was meant.
pub(super) fn decode(raw: Vec<u8>, encoding: Encoding) -> Result<Vec<u8>, BodyError> {
    match encoding {
        Encoding::Identity => Ok(raw),
        Encoding::Gzip => gunzip(&raw, MAX_BYTES),
        Encoding::Zstd => unzstd(&raw, MAX_BYTES),
    }
}

fn gunzip(raw: &[u8], limit: usize) -> Result<Vec<u8>, BodyError> {
    read_up_to(limit, MultiGzDecoder::new(raw)).map_err(BodyError::NotGzip)?.ok_or(BodyError::TooLarge)
}

fn unzstd(raw: &[u8], limit: usize) -> Result<Vec<u8>, BodyError> {
    let decode = || {
        let mut decoder = Decoder::with_buffer(raw)?;
        decoder.window_log_max(ZSTD_WINDOW_LOG)?;
        read_up_to(limit, decoder)
    };
    decode().map_err(BodyError::NotZstd)?.ok_or(BodyError::TooLarge)
}

/// All of it, or `None` if that is more than `limit` bytes.
fn read_up_to(limit: usize, decoder: impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut plain = Vec::new();
    // One byte above the limit tells too large from just fitting, and a bomb gets no further.
    let ceiling = u64::try_from(limit).expect("usize fits into u64") + 1;
    decoder.take(ceiling).read_to_end(&mut plain)?;
    Ok((plain.len() <= limit).then_some(plain))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn gzip_is_decoded_up_to_the_limit() {
        assert_eq!(gunzip(&gzip(&[7; 1000]), 1000).unwrap(), [7; 1000]);
        assert!(matches!(gunzip(&gzip(&[7; 1001]), 1000), Err(BodyError::TooLarge)));
        assert!(matches!(gunzip(&gzip(&vec![0; 10 << 20]), 1000), Err(BodyError::TooLarge)), "a bomb");
    }

    #[test]
    fn what_is_not_whole_gzip_is_refused() {
        let whole = gzip(b"{}");
        assert_eq!(gunzip(&[&whole[..], &whole[..]].concat(), 10).unwrap(), b"{}{}");
        for wrong in [&b"{}"[..], &whole[..whole.len() - 1], &[&whole[..], b"tail"].concat()] {
            assert!(matches!(gunzip(wrong, 10), Err(BodyError::NotGzip(_))));
        }
    }

    fn zstd(plain: &[u8]) -> Vec<u8> {
        zstd::encode_all(plain, 1).unwrap()
    }

    #[test]
    fn zstd_is_decoded_up_to_the_limit() {
        assert_eq!(unzstd(&zstd(&[7; 1000]), 1000).unwrap(), [7; 1000]);
        assert!(matches!(unzstd(&zstd(&[7; 1001]), 1000), Err(BodyError::TooLarge)));
        assert!(matches!(unzstd(&zstd(&vec![0; 10 << 20]), 1000), Err(BodyError::TooLarge)), "a bomb");
        let many = zstd(&[0; 1000]).repeat(1000);
        assert!(matches!(unzstd(&many, 1000), Err(BodyError::TooLarge)), "a bomb of many frames");
    }

    #[test]
    fn what_is_not_whole_zstd_is_refused() {
        let whole = zstd(b"{}");
        assert_eq!(unzstd(&[&whole[..], &whole[..]].concat(), 10).unwrap(), b"{}{}");
        for wrong in [&b"{}"[..], &whole[..whole.len() - 1], &[&whole[..], b"tail"].concat(), &gzip(b"{}")] {
            assert!(matches!(unzstd(wrong, 10), Err(BodyError::NotZstd(_))));
        }
    }

    #[test]
    fn a_window_larger_than_8_mib_is_refused() {
        for (log, legal) in [(23, true), (24, false), (27, false)] {
            let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
            encoder.window_log(log).unwrap();
            // Longer than any of the windows: what fits into one needs none.
            encoder.write_all(&vec![7; 40 << 20]).unwrap();
            let raw = encoder.finish().unwrap();
            assert_eq!(unzstd(&raw, 64 << 20).is_ok(), legal, "{log}");
        }
    }

    #[test]
    fn encodings_are_named_in_any_case() {
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_ENCODING, value.parse().unwrap());
            Encoding::of(&headers)
        };
        assert_eq!(Encoding::of(&HeaderMap::new()), Some(Encoding::Identity));
        assert_eq!(of("identity"), Some(Encoding::Identity));
        assert_eq!(of("GZip"), Some(Encoding::Gzip));
        assert_eq!(of("Zstd"), Some(Encoding::Zstd));
        assert_eq!(of("br"), None);
        assert_eq!(of("gzip, gzip"), None);
    }
}
