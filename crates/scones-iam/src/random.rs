//! Random names and secrets, from the operating system's source.

use crate::Error;

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// `prefix` and `LENGTH` characters of base 32, as AWS's ids have.
pub(crate) fn id<const LENGTH: usize>(prefix: &str) -> Result<String, Error> {
    Ok(format!("{prefix}{}", text::<LENGTH, 32>(BASE32)?))
}

/// `LENGTH` characters of base 64: six random bits each.
pub(crate) fn secret<const LENGTH: usize>() -> Result<String, Error> {
    text::<LENGTH, 64>(BASE64)
}

/// Every character is as likely as any other because a byte has a whole
/// multiple of the alphabet's size many values.
fn text<const LENGTH: usize, const SIZE: usize>(alphabet: &[u8; SIZE]) -> Result<String, Error> {
    const { assert!(256 % SIZE == 0) };
    let mut bytes = [0; LENGTH];
    getrandom::fill(&mut bytes)?;
    Ok(bytes
        .iter()
        .map(|byte| char::from(alphabet[usize::from(*byte) % SIZE]))
        .collect())
}
