//! S3's limits
//! (<https://docs.aws.amazon.com/general/latest/gr/s3.html>,
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>).

/// Keys, and other names, in one page of a listing.
pub(crate) const PAGE_SIZE_MAX: usize = 1000;
/// Buckets in one page of ListBuckets, and buckets of one account.
pub(crate) const BUCKETS_MAX: usize = 10_000;
/// A key's length in bytes of UTF-8.
pub(crate) const KEY_BYTES_MAX: usize = 1024;
/// The body of one PutObject, UploadPart or CopyObject: 5 GiB.
pub(crate) const PUT_BYTES_MAX: u64 = 5 << 30;
/// Every part of an upload but its last: 5 MiB.
pub(crate) const PART_BYTES_MIN: u64 = 5 << 20;
/// Part numbers run from 1 to this.
pub(crate) const PART_NUMBER_MAX: u32 = 10_000;
/// User metadata, names and values together, in bytes.
pub(crate) const METADATA_BYTES_MAX: usize = 2048;
/// Keys in one DeleteObjects.
pub(crate) const DELETE_KEYS_MAX: usize = 1000;
/// A presigned URL's life: a week, in seconds.
pub(crate) const PRESIGNED_SECONDS_MAX: u64 = 604_800;
/// How far a signed date may be off: 15 minutes, in seconds.
pub(crate) const CLOCK_SKEW_SECONDS_MAX: u32 = 900;
/// An XML body: 1000 keys of 1024 bytes, each character written out as an
/// entity, or 10,000 parts with their checksums. Ours: AWS names none.
pub(crate) const XML_BYTES_MAX: usize = 8 << 20;

/// Largest body of an object that is given as text in JSON: what a state of a
/// Step Functions execution may hold.
pub(crate) const JSON_BODY_BYTES_MAX: usize = 262_144;
