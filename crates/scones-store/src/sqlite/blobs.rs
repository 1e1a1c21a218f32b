//! Blobs: small bodies in the table `blobs`, large ones in files that it names.
//!
//! A file is written under `staging/`, flushed, entered in the table and then
//! renamed to `blobs/`. Deleting goes the other way round. A crash in between
//! leaves the file in `staging/`, and the next start removes it with its row.

use std::{
    fs,
    io::{self, Cursor, SeekFrom},
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, params};
use tempfile::TempPath;
use tokio::{
    fs::File,
    io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _},
};
use uuid::Uuid;

use super::{SqliteStore, limit_to_sql, writer::Writer};
use crate::{BlobId, BlobReader, BlobWriter, Blobs, Error};

/// Bodies up to this size live in the database: one `fsync` instead of three.
const INLINE_BYTES_MAX: usize = 16 << 10;

/// The folder of large bodies, in the data directory.
const BLOBS: &str = "blobs";

/// Where bodies lie.
#[derive(Debug, Clone)]
pub(super) struct Folders {
    blobs: PathBuf,
    staging: PathBuf,
}

impl Folders {
    /// Makes the folders and removes what a crash left in `staging/`.
    pub(super) fn open(directory: &Path, connection: &Connection) -> Result<Self, Error> {
        let folders = Self {
            blobs: directory.join(BLOBS),
            staging: directory.join("staging"),
        };
        fs::create_dir_all(&folders.blobs)?;
        fs::create_dir_all(&folders.staging)?;
        sync_folder(directory)?;
        for entry in fs::read_dir(&folders.staging)? {
            let entry = entry?;
            let id = entry.file_name();
            connection.execute("DELETE FROM blobs WHERE id = ?1", [id.to_string_lossy()])?;
            fs::remove_file(entry.path())?;
        }
        Ok(folders)
    }

    /// Whether they were made in `directory`.
    pub(super) fn are_in(directory: &Path) -> bool {
        directory.join(BLOBS).exists()
    }

    fn body(&self, id: &BlobId) -> PathBuf {
        self.blobs.join(&id.0)
    }
}

#[async_trait]
impl Blobs for SqliteStore {
    async fn create_blob(&self, owner: &'static str) -> Result<Box<dyn BlobWriter>, Error> {
        Ok(Box::new(SqliteBlobWriter {
            id: BlobId(format!("{owner}-{}", Uuid::new_v4())),
            folders: self.folders.clone(),
            writer: Arc::clone(&self.writer),
            body: Body::Memory(Vec::new()),
        }))
    }

    async fn open_blob(&self, id: &BlobId, range: Range<u64>) -> Result<BlobReader, Error> {
        let name = id.0.clone();
        let found = self
            .readers
            .read(move |connection| {
                let mut statement = connection.prepare_cached("SELECT body FROM blobs WHERE id = ?1")?;
                Ok(statement
                    .query_row([name], |row| row.get::<_, Option<Vec<u8>>>(0))
                    .optional()?)
            })
            .await?;
        match found {
            None => Err(Error::NoSuchBlob(id.0.clone())),
            Some(Some(body)) => Ok(Box::pin(Cursor::new(slice(body, range)))),
            Some(None) => open_file(&self.folders.body(id), range)
                .await
                .map_err(|error| match error.kind() {
                    io::ErrorKind::NotFound => Error::NoSuchBlob(id.0.clone()),
                    _ => error.into(),
                }),
        }
    }

    async fn delete_blob(&self, id: &BlobId) -> Result<(), Error> {
        // Names are the store's own; anything else is no blob, and no path either.
        if !is_name(&id.0) {
            return Ok(());
        }
        let (body, staged) = (self.folders.body(id), self.folders.staging.join(&id.0));
        let blobs = self.folders.blobs.clone();
        let doomed = blocking(move || match fs::rename(body, &staged) {
            Ok(()) => sync_folder(&blobs).map(|()| Some(staged)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        })
        .await?;
        let name = id.0.clone();
        self.writer
            .write(move |transaction| {
                let mut statement = transaction
                    .connection()
                    .prepare_cached("DELETE FROM blobs WHERE id = ?1")?;
                statement.execute([name])?;
                Ok(())
            })
            .await?;
        if let Some(staged) = doomed {
            blocking(move || fs::remove_file(staged)).await?;
        }
        Ok(())
    }

    async fn list_blobs(
        &self,
        owner: &'static str,
        after: Option<&BlobId>,
        limit: usize,
    ) -> Result<Vec<BlobId>, Error> {
        let after = after.map_or_else(|| format!("{owner}-"), |id| id.0.clone());
        // The character after `-`: beyond every name of this owner.
        let end = format!("{owner}.");
        self.readers
            .read(move |connection| {
                let mut statement =
                    connection.prepare_cached("SELECT id FROM blobs WHERE id > ?1 AND id < ?2 ORDER BY id LIMIT ?3")?;
                let ids =
                    statement.query_map(params![after, end, limit_to_sql(limit)], |row| row.get(0).map(BlobId))?;
                Ok(ids.collect::<Result<_, _>>()?)
            })
            .await
    }
}

/// Whether the text is `OWNER-UUID`, as [`Blobs::create_blob`] makes names.
fn is_name(text: &str) -> bool {
    text.split_once('-').is_some_and(|(owner, uuid)| {
        owner
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
            && Uuid::try_parse(uuid).is_ok()
    })
}

/// What was written so far.
enum Body {
    Memory(Vec<u8>),
    /// The file disappears when its path is dropped.
    File {
        file: File,
        path: TempPath,
    },
}

struct SqliteBlobWriter {
    id: BlobId,
    folders: Folders,
    writer: Arc<Writer>,
    body: Body,
}

#[async_trait]
impl BlobWriter for SqliteBlobWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        if let Body::Memory(memory) = &mut self.body {
            if memory.len() + bytes.len() <= INLINE_BYTES_MAX {
                memory.extend_from_slice(&bytes);
                return Ok(());
            }
            let path = self.folders.staging.join(&self.id.0);
            let mut file = File::create_new(&path).await?;
            let path = TempPath::try_from_path(path)?;
            file.write_all(memory).await?;
            self.body = Body::File { file, path };
        }
        if let Body::File { file, .. } = &mut self.body {
            file.write_all(&bytes).await?;
        }
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<BlobId, Error> {
        match self.body {
            Body::Memory(memory) => insert(&self.writer, &self.id, Some(memory)).await?,
            Body::File { mut file, path } => {
                file.flush().await?;
                file.sync_all().await?;
                insert(&self.writer, &self.id, None).await?;
                let (body, blobs) = (self.folders.body(&self.id), self.folders.blobs);
                blocking(move || {
                    path.persist(body).map_err(|error| error.error)?;
                    sync_folder(&blobs)
                })
                .await?;
            }
        }
        Ok(self.id)
    }
}

async fn insert(writer: &Writer, id: &BlobId, body: Option<Vec<u8>>) -> Result<(), Error> {
    let id = id.0.clone();
    writer
        .write(move |transaction| {
            let mut statement = transaction
                .connection()
                .prepare_cached("INSERT INTO blobs (id, body) VALUES (?1, ?2)")?;
            statement.execute(params![id, body])?;
            Ok(())
        })
        .await
}

async fn open_file(path: &Path, range: Range<u64>) -> io::Result<BlobReader> {
    let mut file = File::open(path).await?;
    let size = file.metadata().await?.len();
    let start = range.start.min(size);
    let end = range.end.clamp(start, size);
    if start > 0 {
        file.seek(SeekFrom::Start(start)).await?;
    }
    Ok(Box::pin(file.take(end - start)))
}

fn slice(body: Vec<u8>, range: Range<u64>) -> Bytes {
    let body = Bytes::from(body);
    let cut = |position: u64| usize::try_from(position).unwrap_or(usize::MAX).min(body.len());
    let start = cut(range.start);
    let end = cut(range.end).max(start);
    body.slice(start..end)
}

/// Makes a folder's own list of names durable.
fn sync_folder(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
