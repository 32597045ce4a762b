//! The bytes of a layer: decompressed, bounded and hashed while they are read.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::{
    BlockDecodingStrategy, FrameDecoder,
    errors::{FrameDecoderError, ReadFrameHeaderError},
};
use sealift_domain::digest::Digest;
use sha2::{Digest as _, Sha256};

/// How a layer is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    /// From a layer's media type: OCI Image Specification 1.1, "Image Layer Filesystem Changeset", and Docker's
    /// "Image Manifest V 2, Schema 2". Layers that may not be distributed are not among them.
    pub(crate) fn of(media_type: &str) -> Option<Self> {
        match media_type {
            "application/vnd.oci.image.layer.v1.tar" | "application/vnd.docker.image.rootfs.diff.tar" => {
                Some(Self::None)
            }
            "application/vnd.oci.image.layer.v1.tar+gzip" | "application/vnd.docker.image.rootfs.diff.tar.gzip" => {
                Some(Self::Gzip)
            }
            "application/vnd.oci.image.layer.v1.tar+zstd" => Some(Self::Zstd),
            _ => None,
        }
    }

    /// The uncompressed bytes of `stored`.
    pub(crate) fn reader<'a>(self, stored: impl Read + 'a) -> Box<dyn Read + 'a> {
        let stored = BufReader::with_capacity(64 << 10, stored);
        match self {
            Self::None => Box::new(stored),
            // Several members one after the other are one stream (RFC 1952, section 2.2); seekable layers are made so.
            Self::Gzip => Box::new(MultiGzDecoder::new(stored)),
            Self::Zstd => Box::new(ZstdFrames { stored, decoder: FrameDecoder::new(), within: false }),
        }
    }
}

/// Decodes all frames of a Zstandard stream and skips the skippable ones (RFC 8878, sections 3.1 and 3.1.2).
struct ZstdFrames<R> {
    stored: R,
    decoder: FrameDecoder,
    within: bool,
}

impl<R: BufRead> ZstdFrames<R> {
    /// Goes to the next frame; false at the end of the stream.
    fn next_frame(&mut self) -> io::Result<bool> {
        while !self.stored.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.stored) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    let skipped = io::copy(&mut (&mut self.stored).take(length.into()), &mut io::sink())?;
                    if skipped != u64::from(length) {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(e) => return Err(io::Error::new(io::ErrorKind::InvalidData, e.to_string())),
            }
        }
        Ok(false)
    }
}

impl<R: BufRead> Read for ZstdFrames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if !self.within && !self.next_frame()? {
                return Ok(0);
            }
            self.within = true;
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                let wanted = BlockDecodingStrategy::UptoBytes(buffer.len());
                let decoded = self.decoder.decode_blocks(&mut self.stored, wanted);
                decoded.map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e.to_string()))?;
            }
            let read = self.decoder.read(buffer)?;
            if read > 0 {
                return Ok(read);
            }
            self.within = false;
        }
    }
}

/// Hashes what passes, and refuses to pass more than a budget.
pub(crate) struct Measured<R> {
    inner: R,
    hash: Sha256,
    left: u64,
}

impl<R: Read> Measured<R> {
    /// At most `budget` bytes of `inner` pass.
    pub(crate) fn new(inner: R, budget: u64) -> Self {
        Self { inner, hash: Sha256::new(), left: budget }
    }

    /// Reads to the end, and returns the digest of everything and what is left of the budget.
    pub(crate) fn finish(mut self) -> io::Result<(Digest, u64)> {
        io::copy(&mut self, &mut io::sink())?;
        Ok((Digest::from_bytes(self.hash.finalize().into()), self.left))
    }
}

impl<R: Read> Read for Measured<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| {
            io::Error::new(io::ErrorKind::FileTooLarge, "the image unpacks to more than the limit allows")
        })?;
        self.hash.update(&buffer[..read]);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    fn read(compression: Compression, stored: &[u8]) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        compression.reader(stored).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn streams_of_several_parts_are_read_to_the_end() {
        let (first, second) = (vec![b'a'; 300_000], b"second".to_vec());
        let whole = [first.clone(), second.clone()].concat();
        assert_eq!(read(Compression::None, &whole).unwrap(), whole);
        assert_eq!(read(Compression::Gzip, &[gzip(&first), gzip(&second)].concat()).unwrap(), whole);
        let frame = |bytes: &[u8]| compress_to_vec(bytes, CompressionLevel::Fastest);
        let skippable = [0x184D_2A50_u32.to_le_bytes().as_slice(), 3_u32.to_le_bytes().as_slice(), b"xyz"].concat();
        let stored = [skippable.clone(), frame(&first), skippable, frame(&second)].concat();
        assert_eq!(read(Compression::Zstd, &stored).unwrap(), whole);
        assert!(read(Compression::Zstd, &stored[..stored.len() - 3]).is_err());
        assert!(read(Compression::Gzip, b"not gzip").is_err() && read(Compression::Zstd, b"not zstd").is_err());
    }

    #[test]
    fn what_is_read_is_hashed_and_bounded() {
        let (digest, left) = Measured::new(b"12345".as_slice(), 8).finish().unwrap();
        assert_eq!((digest, left), (Digest::of(b"12345"), 3));
        let bomb = gzip(&vec![0; 5_000_000]);
        assert!(bomb.len() < 50_000);
        let error = Measured::new(Compression::Gzip.reader(bomb.as_slice()), 4_000_000).finish().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn only_layers_that_may_be_run_have_a_compression() {
        assert_eq!(Compression::of("application/vnd.oci.image.layer.v1.tar+zstd"), Some(Compression::Zstd));
        assert_eq!(Compression::of("application/vnd.docker.image.rootfs.diff.tar.gzip"), Some(Compression::Gzip));
        for other in ["application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "application/vnd.in-toto+json", ""] {
            assert_eq!(Compression::of(other), None);
        }
    }
}
