//! A reader as a response's body.

use std::{
    io,
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::{Context, Poll},
};

use s3s::dto::StreamingBlob;
use scones_store::BlobReader;
use tokio::io::{AsyncRead, ReadBuf};

use crate::body::read_stream;

/// A body that sends what `reader` gives.
pub(super) fn blob(reader: BlobReader) -> StreamingBlob {
    StreamingBlob::wrap(read_stream(Shared(Mutex::new(reader))))
}

/// `s3s` wants bodies that threads can share, though none does. The mutex is
/// never locked: whoever polls has the only reference.
struct Shared(Mutex<BlobReader>);

impl AsyncRead for Shared {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let reader = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        reader.as_mut().poll_read(context, buffer)
    }
}
