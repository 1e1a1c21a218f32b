//! Chunks of the content encoding `aws-chunked`, on their way to `s3s`, which
//! holds every chunk in memory. Some clients send a whole body as one chunk:
//! unsigned chunks are cut smaller here; signed ones cannot be, and are limited.

use std::{fmt, io};

use bytes::{Bytes, BytesMut};

/// The longest line before a chunk.
const LINE_BYTES_MAX: usize = 1024;

/// The largest signed chunk. Ours: AWS names none; its clients send 64 KiB to
/// 1 MiB.
const SIGNED_CHUNK_BYTES_MAX: u64 = 16 << 20;

/// A body that is not in chunks as it should be. `s3s` hands it on in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FormatError(&'static str);

impl fmt::Display for FormatError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "FormatError: {}", self.0)
    }
}

impl std::error::Error for FormatError {}

/// Where in a body the next byte is.
#[derive(Debug, Default)]
pub(super) struct Framing {
    state: State,
    /// The part of a line that has arrived.
    line: BytesMut,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Size,
    Data {
        left: u64,
        signed: bool,
    },
    /// The line's end after a chunk's data.
    End {
        signed: bool,
    },
    /// Everything after the last chunk.
    Trailers,
}

impl Framing {
    /// Takes the next bytes of the body; gives what `s3s` is to read instead.
    ///
    /// # Errors
    /// [`FormatError`], after which nothing more may be fed.
    pub(super) fn feed(&mut self, mut bytes: Bytes) -> Result<Vec<Bytes>, FormatError> {
        let mut out = Vec::new();
        while !bytes.is_empty() {
            match self.state {
                State::Size => {
                    let Some(line) = self.take_line(&mut bytes)? else {
                        continue;
                    };
                    let (size, signed) = parse_size(&line)?;
                    if signed && size > SIGNED_CHUNK_BYTES_MAX {
                        return Err(FormatError("a signed chunk has more than 16 MiB"));
                    }
                    if signed || size == 0 {
                        out.push(line);
                    }
                    self.state = match size {
                        0 => State::Trailers,
                        left => State::Data { left, signed },
                    };
                }
                State::Data { left, signed } => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    let data = bytes.split_to(here);
                    if signed {
                        out.push(data);
                    } else {
                        out.extend([format!("{here:x}\r\n").into(), data, Bytes::from_static(b"\r\n")]);
                    }
                    self.state = match left - here as u64 {
                        0 => State::End { signed },
                        left => State::Data { left, signed },
                    };
                }
                State::End { signed } => {
                    let Some(line) = self.take_line(&mut bytes)? else {
                        continue;
                    };
                    if line != b"\r\n"[..] {
                        return Err(FormatError("a chunk is longer than it says"));
                    }
                    if signed {
                        out.push(line);
                    }
                    self.state = State::Size;
                }
                State::Trailers => out.push(std::mem::take(&mut bytes)),
            }
        }
        Ok(out)
    }

    /// The body has ended.
    ///
    /// # Errors
    /// If the last chunk has not come.
    pub(super) fn finish(&self) -> io::Result<()> {
        match self.state {
            State::Trailers => Ok(()),
            State::Size | State::Data { .. } | State::End { .. } => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// The next line with its end, once it is there.
    fn take_line(&mut self, bytes: &mut Bytes) -> Result<Option<Bytes>, FormatError> {
        let end = bytes
            .iter()
            .position(|&byte| byte == b'\n')
            .map(|position| position + 1);
        self.line.extend_from_slice(&bytes.split_to(end.unwrap_or(bytes.len())));
        if self.line.len() > LINE_BYTES_MAX {
            return Err(FormatError("a line before a chunk is too long"));
        }
        Ok(end.map(|_| self.line.split().freeze()))
    }
}

/// The size in `1a2b\r\n` or `1a2b;chunk-signature=..\r\n`, and whether the
/// chunk is signed.
fn parse_size(line: &[u8]) -> Result<(u64, bool), FormatError> {
    let malformed = FormatError("a chunk does not begin with its size");
    let text = std::str::from_utf8(line)
        .ok()
        .and_then(|line| line.strip_suffix("\r\n"))
        .ok_or(malformed)?;
    let (size, extension) = text
        .split_once(';')
        .map_or((text, None), |(size, rest)| (size, Some(rest)));
    if size.starts_with('+') {
        return Err(malformed);
    }
    let size = u64::from_str_radix(size, 16).map_err(|_| malformed)?;
    Ok((size, extension.is_some()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Feeds `body` in pieces that end at `cuts`.
    fn feed(body: &[u8], cuts: &[usize]) -> Result<Vec<u8>, FormatError> {
        let mut framing = Framing::default();
        let mut out = Vec::new();
        let mut start = 0;
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (body.len() + 1)).collect();
        cuts.sort_unstable();
        for end in cuts.into_iter().chain([body.len()]) {
            for bytes in framing.feed(Bytes::copy_from_slice(&body[start..end]))? {
                out.extend_from_slice(&bytes);
            }
            start = end;
        }
        Ok(out)
    }

    #[test]
    fn unsigned_chunks_are_cut_and_all_else_stays() {
        let check = |body: &str, cuts: &[usize], expect: Result<&str, &str>| {
            let fed = feed(body.as_bytes(), cuts).map(|bytes| String::from_utf8(bytes).unwrap());
            let fed = fed.as_deref().map_err(|error| error.0);
            assert_eq!(fed, expect, "{body:?}");
        };
        check("5\r\nhello\r\n0\r\n\r\n", &[], Ok("5\r\nhello\r\n0\r\n\r\n"));
        check("5\r\nhello\r\n0\r\n\r\n", &[5], Ok("2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"));
        check("0\r\nx-a:1\r\n\r\n", &[2, 6], Ok("0\r\nx-a:1\r\n\r\n"));
        let signed = "2;chunk-signature=ab\r\nhi\r\n0;chunk-signature=cd\r\n\r\n";
        check(signed, &[1, 23, 24], Ok(signed));
        check(
            "1000001;chunk-signature=ab\r\n",
            &[],
            Err("a signed chunk has more than 16 MiB"),
        );
        check("2\r\nhello\r\n", &[], Err("a chunk is longer than it says"));
        check("xyz\r\n", &[], Err("a chunk does not begin with its size"));
        check("+5\r\nhello\r\n", &[], Err("a chunk does not begin with its size"));
        check("5\nhello\r\n", &[], Err("a chunk does not begin with its size"));
        check(&"1".repeat(2000), &[], Err("a line before a chunk is too long"));
        check(
            "ffffffffffffffffff\r\n",
            &[],
            Err("a chunk does not begin with its size"),
        );
    }

    proptest! {
        /// What `s3s` reads has the same data and trailers however it came.
        #[test]
        fn the_data_stays_the_same(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..50), 0..5),
            cuts in prop::collection::vec(any::<usize>(), 0..20),
        ) {
            let mut body = Vec::new();
            for chunk in &chunks {
                body.extend(format!("{:X}\r\n", chunk.len()).bytes());
                body.extend(chunk);
                body.extend(b"\r\n");
            }
            body.extend(b"0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n");
            let fed = feed(&body, &cuts).unwrap();
            // Taking it apart once more, uncut, changes nothing.
            let (data, rest) = read(&fed);
            prop_assert_eq!(data, chunks.concat());
            prop_assert_eq!(rest, b"x-amz-checksum-crc32:AAAAAA==\r\n\r\n");
        }

        #[test]
        fn nonsense_is_survived(body in prop::collection::vec(any::<u8>(), 0..200), cuts in prop::collection::vec(any::<usize>(), 0..5)) {
            let _ = feed(&body, &cuts);
        }
    }

    /// A plain reader of well-formed unsigned chunks.
    fn read(mut body: &[u8]) -> (Vec<u8>, &[u8]) {
        let mut data = Vec::new();
        loop {
            let end = body.windows(2).position(|pair| pair == b"\r\n").unwrap();
            let size = usize::from_str_radix(std::str::from_utf8(&body[..end]).unwrap(), 16).unwrap();
            body = &body[end + 2..];
            if size == 0 {
                return (data, body);
            }
            data.extend_from_slice(&body[..size]);
            body = &body[size + 2..];
        }
    }
}
