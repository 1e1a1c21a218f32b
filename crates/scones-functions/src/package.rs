//! The deployment package of the functions.

use std::io::{Cursor, Write as _};

use zip::{ZipWriter, result::ZipError, write::SimpleFileOptions};

/// A program that is the server's own here, and comes in the package on AWS.
const BOOTSTRAP: &str = "#!/bin/sh\nexec \"${SCONES_EXECUTABLE:-$LAMBDA_TASK_ROOT/scones}\" function \"$_HANDLER\"\n";

/// A zip archive for functions with the runtime `provided.al2023` whose handler
/// is one of [`NAMES`](crate::NAMES). It holds one script, which runs this
/// program as `scones function HANDLER`. For AWS, add the program itself as
/// `scones`.
///
/// # Errors
/// None that memory would not give.
pub fn package() -> Result<Vec<u8>, ZipError> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer.start_file("bootstrap", SimpleFileOptions::default().unix_permissions(0o755))?;
    writer.write_all(BOOTSTRAP.as_bytes())?;
    Ok(writer.finish()?.into_inner())
}
