//! The checksums that S3 keeps beside an object, in base64, and how a
//! multipart object's follows from its parts'
//! (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html>).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use crc_fast::CrcAlgorithm;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Sha1, Sha256};
use scones_api::ApiError;
use serde::{Deserialize, Serialize};

use crate::error::invalid_request;

/// How a checksum is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Algorithm {
    Crc32,
    Crc32C,
    Crc64Nvme,
    Sha1,
    Sha256,
}

impl Algorithm {
    pub(crate) const ALL: [Self; 5] = [Self::Crc32, Self::Crc32C, Self::Crc64Nvme, Self::Sha1, Self::Sha256];

    /// AWS's name, as in `x-amz-checksum-algorithm`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32C => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    /// The algorithm that AWS names so.
    ///
    /// # Errors
    /// `InvalidRequest`.
    pub(crate) fn parse(name: &str) -> Result<Self, ApiError> {
        let found = Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name().eq_ignore_ascii_case(name));
        found.ok_or_else(|| {
            invalid_request(
                "Checksum algorithm provided is unsupported. Please try again with any of the valid types: \
                 [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]",
            )
        })
    }

    /// The algorithm whose header or trailer is called so.
    pub(crate) fn of_header(header: &str) -> Option<Self> {
        let name = header.trim().to_ascii_lowercase();
        let name = name.strip_prefix("x-amz-checksum-")?;
        Self::parse(name).ok()
    }

    /// The header and trailer that carry it.
    pub(crate) fn header(self) -> String {
        format!("x-amz-checksum-{}", self.name().to_ascii_lowercase())
    }

    const fn length(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32C => 4,
            Self::Crc64Nvme => 8,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// Checks that `value` is the base64 of a checksum of this kind.
    ///
    /// # Errors
    /// `InvalidRequest`.
    pub(crate) fn check_value(self, value: &str) -> Result<(), ApiError> {
        match STANDARD.decode(value) {
            Ok(bytes) if bytes.len() == self.length() => Ok(()),
            _ => Err(invalid_request(format!(
                "Value for {} header is invalid.",
                self.header()
            ))),
        }
    }

    /// The kind that a multipart object's checksum has unless the client
    /// wishes otherwise.
    pub(crate) const fn default_kind(self) -> Kind {
        match self {
            Self::Crc64Nvme => Kind::FullObject,
            _ => Kind::Composite,
        }
    }

    /// Whether a multipart object can have a checksum of `kind`.
    pub(crate) const fn allows(self, kind: Kind) -> bool {
        match kind {
            Kind::FullObject => !matches!(self, Self::Sha1 | Self::Sha256),
            Kind::Composite => !matches!(self, Self::Crc64Nvme),
        }
    }

    const fn crc(self) -> Option<CrcAlgorithm> {
        match self {
            Self::Crc32 => Some(CrcAlgorithm::Crc32IsoHdlc),
            Self::Crc32C => Some(CrcAlgorithm::Crc32Iscsi),
            Self::Crc64Nvme => Some(CrcAlgorithm::Crc64Nvme),
            Self::Sha1 | Self::Sha256 => None,
        }
    }
}

/// What a checksum is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// The bytes of the object.
    FullObject,
    /// The checksums of its parts.
    Composite,
}

impl Kind {
    /// AWS's name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::FullObject => "FULL_OBJECT",
            Self::Composite => "COMPOSITE",
        }
    }

    /// The kind that AWS names so.
    pub(crate) fn parse(name: &str) -> Result<Self, ApiError> {
        [Self::FullObject, Self::Composite]
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| invalid_request("Value for x-amz-checksum-type header is invalid."))
    }
}

/// An object's checksum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checksum {
    pub(crate) algorithm: Algorithm,
    /// Base64; a composite one ends with `-` and the number of parts.
    pub(crate) value: String,
    pub(crate) kind: Kind,
}

/// A checksum in the making.
pub(crate) enum Hasher {
    Crc32(Crc32),
    Crc32C(Crc32c),
    Crc64Nvme(Crc64Nvme),
    Sha1(Sha1),
    Sha256(Sha256),
}

impl Hasher {
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Crc32 => Self::Crc32(Crc32::new()),
            Algorithm::Crc32C => Self::Crc32C(Crc32c::new()),
            Algorithm::Crc64Nvme => Self::Crc64Nvme(Crc64Nvme::new()),
            Algorithm::Sha1 => Self::Sha1(Sha1::new()),
            Algorithm::Sha256 => Self::Sha256(Sha256::new()),
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc32(hasher) => hasher.update(bytes),
            Self::Crc32C(hasher) => hasher.update(bytes),
            Self::Crc64Nvme(hasher) => hasher.update(bytes),
            Self::Sha1(hasher) => hasher.update(bytes),
            Self::Sha256(hasher) => hasher.update(bytes),
        }
    }

    /// The checksum of everything so far, in base64.
    pub(crate) fn finish(self) -> String {
        match self {
            Self::Crc32(hasher) => STANDARD.encode(hasher.finalize()),
            Self::Crc32C(hasher) => STANDARD.encode(hasher.finalize()),
            Self::Crc64Nvme(hasher) => STANDARD.encode(hasher.finalize()),
            Self::Sha1(hasher) => STANDARD.encode(hasher.finalize()),
            Self::Sha256(hasher) => STANDARD.encode(hasher.finalize()),
        }
    }
}

/// A multipart object's checksum from its parts' checksums and sizes in bytes.
/// `None` if a part's value is not a checksum of `algorithm`, or `algorithm`
/// does not allow `kind`.
pub(crate) fn of_parts(algorithm: Algorithm, kind: Kind, parts: &[(String, u64)]) -> Option<Checksum> {
    let value = match kind {
        Kind::Composite => {
            let mut hasher = Hasher::new(algorithm);
            for (value, _) in parts {
                hasher.update(&STANDARD.decode(value).ok()?);
            }
            format!("{}-{}", hasher.finish(), parts.len())
        }
        Kind::FullObject => {
            let crc = algorithm.crc()?;
            let mut whole = decode_crc(&Hasher::new(algorithm).finish())?;
            for (value, size) in parts {
                whole = crc_fast::checksum_combine(crc, whole, decode_crc(value)?, *size);
            }
            let bytes = whole.to_be_bytes();
            STANDARD.encode(&bytes[bytes.len() - algorithm.length()..])
        }
    };
    Some(Checksum { algorithm, value, kind })
}

fn decode_crc(value: &str) -> Option<u64> {
    let bytes = STANDARD.decode(value).ok()?;
    (bytes.len() <= 8).then(|| bytes.iter().fold(0, |crc, &byte| crc << 8 | u64::from(byte)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn checksum(algorithm: Algorithm, bytes: &[u8]) -> String {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    }

    /// The check values of the CRC catalogue
    /// (<https://reveng.sourceforge.io/crc-catalogue/all.htm>) and of the SHA
    /// standards.
    #[test]
    fn checksums_are_the_published_ones() {
        let check = |algorithm, bytes: &[u8], hexadecimal: &str| {
            let expect = STANDARD.encode(hex::decode(hexadecimal).unwrap());
            assert_eq!(checksum(algorithm, bytes), expect, "{algorithm:?}");
        };
        check(Algorithm::Crc32, b"123456789", "cbf43926");
        check(Algorithm::Crc32C, b"123456789", "e3069283");
        check(Algorithm::Crc64Nvme, b"123456789", "ae8b14860a799888");
        check(Algorithm::Sha1, b"abc", "a9993e364706816aba3e25717850c26c9cd0d89d");
        check(
            Algorithm::Sha256,
            b"abc",
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        );
    }

    #[test]
    fn names_and_headers_belong_together() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::parse(algorithm.name()), Ok(algorithm));
            assert_eq!(Algorithm::of_header(&algorithm.header()), Some(algorithm));
            assert_eq!(algorithm.check_value(&checksum(algorithm, b"x")), Ok(()));
            assert!(algorithm.check_value("AAA=").is_err());
            assert!(algorithm.check_value("no base64!").is_err());
        }
        assert!(Algorithm::parse("MD5").is_err());
        assert_eq!(Algorithm::of_header("x-amz-checksum-type"), None);
    }

    #[test]
    fn secure_hashes_cannot_be_combined() {
        let parts = [(checksum(Algorithm::Sha1, b"a"), 1)];
        assert_eq!(of_parts(Algorithm::Sha1, Kind::FullObject, &parts), None);
    }

    proptest! {
        #[test]
        fn full_checksums_do_not_depend_on_how_the_object_was_cut(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..6),
        ) {
            for algorithm in [Algorithm::Crc32, Algorithm::Crc32C, Algorithm::Crc64Nvme] {
                let cut: Vec<_> = parts
                    .iter()
                    .map(|part| (checksum(algorithm, part), part.len() as u64))
                    .collect();
                let combined = of_parts(algorithm, Kind::FullObject, &cut).unwrap();
                prop_assert_eq!(combined.value, checksum(algorithm, &parts.concat()));
            }
        }
    }
}
