//! A store in memory that fails, delays and dies as a seed says.

use std::{
    collections::BTreeMap,
    io,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use scones_api::Timestamp;
use scones_store::{
    BlobId, BlobReader, BlobWriter, Blobs, Delivery, Error, Expected, Histories, ListQuery, Queues, Record, Records,
    Revision, Timer, Timers,
};

#[derive(Debug, Default)]
struct Tables {
    histories: BTreeMap<String, Vec<Bytes>>,
    records: BTreeMap<(String, String), Record>,
    revision: u64,
    queues: BTreeMap<String, Vec<Queued>>,
    timers: BTreeMap<(String, String), Timer>,
    /// The writes that stores died at.
    deaths: Vec<String>,
}

#[derive(Debug)]
struct Queued {
    receipt: String,
    payload: Bytes,
    attempt: u32,
    sent: Timestamp,
    visible: Timestamp,
}

/// What survives a crash.
#[derive(Clone, Default)]
pub struct Disk(Arc<Mutex<Tables>>);

impl Disk {
    /// Every history.
    pub fn histories(&self) -> Vec<Vec<Bytes>> {
        self.0.lock().unwrap().histories.values().cloned().collect()
    }

    /// The writes that stores died at.
    pub fn deaths(&self) -> Vec<String> {
        self.0.lock().unwrap().deaths.clone()
    }

    /// Everything that is there, a line a thing.
    pub fn lines(&self) -> Vec<String> {
        format!("{:#?}", self.0.lock().unwrap())
            .lines()
            .map(str::to_owned)
            .collect()
    }
}

/// How a store misbehaves.
#[derive(Debug, Clone, Copy, Default)]
pub struct Trouble {
    pub seed: u64,
    /// Operations in a thousand that fail, half of them after they were done.
    pub failing: u64,
    /// Longest delay of an operation.
    pub delay_millis: u64,
    /// Writes until everything fails for ever, as if the process had died.
    pub writes_left: Option<u64>,
}

/// A disk as one process sees it.
pub struct MemoryStore {
    disk: Disk,
    trouble: Mutex<Trouble>,
}

/// SplitMix64.
pub fn draw(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*seed ^ (*seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

impl MemoryStore {
    pub fn new(disk: &Disk, trouble: Trouble) -> Arc<Self> {
        Arc::new(Self {
            disk: disk.clone(),
            trouble: Mutex::new(trouble),
        })
    }

    pub fn is_dead(&self) -> bool {
        self.trouble.lock().unwrap().writes_left == Some(0)
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.disk.0.lock().unwrap()
    }

    async fn operate<T>(
        &self,
        write: Option<&str>,
        operation: impl FnOnce(&mut Tables) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let (delay, failing, lost) = {
            let mut trouble = self.trouble.lock().unwrap();
            let seed = &mut trouble.seed;
            let (delay, chance, lost) = (draw(seed), draw(seed) % 1000, draw(seed).is_multiple_of(2));
            (delay % (trouble.delay_millis + 1), chance < trouble.failing, lost)
        };
        if delay > 0 {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        let mut dies = false;
        if let Some(left) = &mut self.trouble.lock().unwrap().writes_left {
            match (*left, write) {
                (0, _) => return Err(Error::Closed),
                (_, Some(_)) => *left -= 1,
                (_, None) => {}
            }
            dies = *left == 0;
        }
        if let (true, Some(write)) = (dies, write) {
            self.tables().deaths.push(write.to_owned());
        }
        let injected = || Err(Error::Io(io::Error::other("injected")));
        if failing && lost {
            return injected();
        }
        let result = operation(&mut self.tables());
        match result {
            Ok(_) if dies => Err(Error::Closed),
            Ok(_) if failing => injected(),
            other => other,
        }
    }
}

#[async_trait]
impl Histories for MemoryStore {
    async fn append(&self, history: &str, position: u64, entries: Vec<Bytes>) -> Result<u64, Error> {
        self.operate(Some("append"), |tables| {
            let there = tables.histories.entry(history.to_owned()).or_default();
            let actual = there.len() as u64;
            if actual != position {
                return Err(Error::Fenced {
                    history: history.to_owned(),
                    expected: position,
                    actual,
                });
            }
            there.extend(entries);
            Ok(there.len() as u64)
        })
        .await
    }

    async fn read(&self, history: &str, from: u64, limit: usize) -> Result<Vec<Bytes>, Error> {
        self.operate(None, |tables| {
            let there = tables.histories.get(history).map(Vec::as_slice).unwrap_or_default();
            Ok(there
                .iter()
                .skip(usize::try_from(from).unwrap())
                .take(limit)
                .cloned()
                .collect())
        })
        .await
    }

    async fn length(&self, history: &str) -> Result<u64, Error> {
        self.operate(None, |tables| {
            Ok(tables.histories.get(history).map_or(0, |there| there.len() as u64))
        })
        .await
    }

    async fn delete_history(&self, history: &str) -> Result<(), Error> {
        self.operate(Some("delete history"), |tables| {
            tables.histories.remove(history);
            Ok(())
        })
        .await
    }
}

fn check(table: &str, key: &str, there: Option<&Record>, expected: Expected) -> Result<(), Error> {
    let fits = match expected {
        Expected::Anything => true,
        Expected::Absent => there.is_none(),
        Expected::At(revision) => there.is_some_and(|record| record.revision == revision),
    };
    if fits {
        Ok(())
    } else {
        Err(Error::Conflict {
            table: table.to_owned(),
            key: key.to_owned(),
        })
    }
}

#[async_trait]
impl Records for MemoryStore {
    async fn get(&self, table: &str, key: &str) -> Result<Option<Record>, Error> {
        let place = (table.to_owned(), key.to_owned());
        self.operate(None, |tables| Ok(tables.records.get(&place).cloned()))
            .await
    }

    async fn put(&self, table: &str, key: &str, value: Bytes, expected: Expected) -> Result<Revision, Error> {
        let place = (table.to_owned(), key.to_owned());
        self.operate(Some(&format!("put {table}")), |tables| {
            check(table, key, tables.records.get(&place), expected)?;
            tables.revision += 1;
            let revision = Revision(tables.revision);
            tables.records.insert(place, Record { value, revision });
            Ok(revision)
        })
        .await
    }

    async fn delete(&self, table: &str, key: &str, expected: Expected) -> Result<(), Error> {
        let place = (table.to_owned(), key.to_owned());
        self.operate(Some(&format!("delete {table}")), |tables| {
            check(table, key, tables.records.get(&place), expected)?;
            tables.records.remove(&place);
            Ok(())
        })
        .await
    }

    async fn list(&self, table: &str, query: ListQuery) -> Result<Vec<(String, Record)>, Error> {
        self.operate(None, |tables| {
            let after = query.after.as_deref();
            let wanted = |key: &str| {
                let beyond = match (after, query.descending) {
                    (None, _) => true,
                    (Some(after), false) => key > after,
                    (Some(after), true) => key < after,
                };
                beyond && key.starts_with(&query.prefix)
            };
            let rows = tables
                .records
                .iter()
                .filter(|((there, key), _)| there == table && wanted(key));
            let rows = rows.map(|((_, key), record)| (key.clone(), record.clone()));
            Ok(match query.descending {
                false => rows.take(query.limit).collect(),
                true => rows.rev().take(query.limit).collect(),
            })
        })
        .await
    }
}

#[async_trait]
impl Queues for MemoryStore {
    async fn send(&self, queue: &str, payload: Bytes, now: Timestamp, visible: Timestamp) -> Result<(), Error> {
        self.operate(Some("send"), |tables| {
            let message = Queued {
                receipt: String::new(),
                payload,
                attempt: 0,
                sent: now,
                visible,
            };
            tables.queues.entry(queue.to_owned()).or_default().push(message);
            Ok(())
        })
        .await
    }

    async fn receive(
        &self,
        queue: &str,
        limit: usize,
        now: Timestamp,
        lease: Duration,
    ) -> Result<Vec<Delivery>, Error> {
        self.operate(Some("receive"), |tables| {
            tables.revision += 1;
            let tag = tables.revision;
            let messages = tables.queues.entry(queue.to_owned()).or_default();
            let visible = messages.iter_mut().filter(|message| message.visible <= now).take(limit);
            Ok(visible
                .enumerate()
                .map(|(number, message)| {
                    message.receipt = format!("{tag}/{number}");
                    message.attempt += 1;
                    message.visible = now + lease;
                    Delivery {
                        receipt: message.receipt.clone(),
                        payload: message.payload.clone(),
                        attempt: message.attempt,
                        sent: message.sent,
                    }
                })
                .collect())
        })
        .await
    }

    async fn acknowledge(&self, queue: &str, receipt: &str) -> Result<(), Error> {
        self.operate(Some("acknowledge"), |tables| {
            tables
                .queues
                .entry(queue.to_owned())
                .or_default()
                .retain(|message| message.receipt != receipt);
            Ok(())
        })
        .await
    }

    async fn release(&self, queue: &str, receipt: &str, visible: Timestamp) -> Result<(), Error> {
        self.operate(Some("release"), |tables| {
            let messages = tables.queues.entry(queue.to_owned()).or_default();
            for message in messages.iter_mut().filter(|message| message.receipt == receipt) {
                message.visible = visible;
            }
            Ok(())
        })
        .await
    }

    async fn delete_queue(&self, queue: &str) -> Result<(), Error> {
        self.operate(Some("delete queue"), |tables| {
            tables.queues.remove(queue);
            Ok(())
        })
        .await
    }
}

#[async_trait]
impl Timers for MemoryStore {
    async fn set_timer(&self, group: &str, timer: Timer) -> Result<(), Error> {
        self.operate(Some("set timer"), |tables| {
            tables.timers.insert((group.to_owned(), timer.key.clone()), timer);
            Ok(())
        })
        .await
    }

    async fn clear_timer(&self, group: &str, key: &str) -> Result<(), Error> {
        self.operate(Some("clear timer"), |tables| {
            tables.timers.remove(&(group.to_owned(), key.to_owned()));
            Ok(())
        })
        .await
    }

    async fn due_timers(&self, group: &str, until: Timestamp, limit: usize) -> Result<Vec<Timer>, Error> {
        self.operate(None, |tables| {
            let timers = tables
                .timers
                .iter()
                .filter(|((there, _), timer)| there == group && timer.due <= until);
            let mut due: Vec<Timer> = timers.map(|(_, timer)| timer.clone()).collect();
            due.sort_by_key(|timer| timer.due);
            due.truncate(limit);
            Ok(due)
        })
        .await
    }
}

/// Workflows keep no blobs.
#[async_trait]
impl Blobs for MemoryStore {
    async fn create_blob(&self, _: &'static str) -> Result<Box<dyn BlobWriter>, Error> {
        unreachable!()
    }

    async fn open_blob(&self, _: &BlobId, _: Range<u64>) -> Result<BlobReader, Error> {
        unreachable!()
    }

    async fn delete_blob(&self, _: &BlobId) -> Result<(), Error> {
        unreachable!()
    }

    async fn list_blobs(&self, _: &'static str, _: Option<&BlobId>, _: usize) -> Result<Vec<BlobId>, Error> {
        unreachable!()
    }
}
