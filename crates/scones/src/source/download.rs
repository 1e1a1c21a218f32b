//! Fetching the official CIFAR-100 archive: once, checked, and from where an
//! earlier attempt broke off.

use std::{
    fs,
    io::{self, Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use indicatif::ProgressBar;
use md5::{Digest as _, Md5};
use scones_vision::dataset::cifar::{CIFAR_100_BYTES, CIFAR_100_MD5, CIFAR_100_URL};

use crate::terminal;

/// The archive's name in the cache.
const FILE: &str = "cifar-100-python.tar.gz";

/// How long a connection may take; without a network the caller goes on with
/// drawn images.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the server may take to begin its answer.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long one request may go on; what is then missing is asked for anew, unless nothing came.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(60);

/// Where the archive lies in the cache, once it is there.
pub(crate) fn archive_in(cache: &Path) -> PathBuf {
    cache.join(FILE)
}

/// The archive in the cache, if it is there and whole.
pub(crate) fn cached(cache: &Path) -> anyhow::Result<Option<PathBuf>> {
    let path = archive_in(cache);
    if !path.exists() {
        return Ok(None);
    }
    let found = md5(&path)?;
    if found == CIFAR_100_MD5 {
        return Ok(Some(path));
    }
    bail!(
        "{} is damaged: its MD5 is {found}, not {CIFAR_100_MD5}; remove it to have it downloaded again",
        path.display()
    )
}

/// Downloads the archive into the cache.
pub(crate) fn fetch(cache: &Path) -> anyhow::Result<PathBuf> {
    fetch_from(CIFAR_100_URL, CIFAR_100_MD5, cache)
}

fn fetch_from(url: &str, expected: &str, cache: &Path) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(cache).with_context(|| format!("cannot make {}", cache.display()))?;
    let part = cache.join(format!("{FILE}.part"));
    let received = receive(url, &part).with_context(|| format!("cannot download {url}"));
    if received.is_err() && part.metadata().is_ok_and(|metadata| metadata.len() == 0) {
        fs::remove_file(&part).with_context(|| format!("cannot remove {}", part.display()))?;
    }
    received?;
    let found = md5(&part)?;
    if found != expected {
        fs::remove_file(&part).with_context(|| format!("cannot remove {}", part.display()))?;
        bail!("what {url} gave has the MD5 {found}, not {expected}; it was thrown away");
    }
    let path = archive_in(cache);
    fs::rename(&part, &path).with_context(|| format!("cannot move the archive to {}", path.display()))?;
    Ok(path)
}

/// Adds what is missing at the end of `part`.
fn receive(url: &str, part: &Path) -> anyhow::Result<()> {
    let mut file = fs::OpenOptions::new().create(true).append(true).open(part)?;
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_recv_response(Some(RESPONSE_TIMEOUT))
        .timeout_recv_body(Some(ATTEMPT_TIMEOUT))
        .build()
        .into();
    let bar = terminal::bar(CIFAR_100_BYTES, "bytes", "Downloading CIFAR-100");
    loop {
        let had = file.metadata()?.len();
        match receive_rest(&agent, url, &mut file, &bar) {
            Ok(()) => break,
            // A slow line, or one that breaks off, is no reason to give up while something comes.
            Err(error) if file.metadata()?.len() > had => tracing::debug!(%error, "the download goes on"),
            Err(error) => return Err(error),
        }
    }
    file.sync_all()?;
    bar.finish_and_clear();
    Ok(())
}

/// One request for what is missing.
fn receive_rest(agent: &ureq::Agent, url: &str, file: &mut fs::File, bar: &ProgressBar) -> anyhow::Result<()> {
    let have = file.metadata()?.len();
    let request = agent.get(url);
    let request = if have > 0 {
        request.header("range", format!("bytes={have}-"))
    } else {
        request
    };
    let response = match request.call() {
        // Nothing is missing any more.
        Err(ureq::Error::StatusCode(416)) => return Ok(()),
        response => response?,
    };
    if response.status() != 206 {
        // The server sends everything from the beginning.
        file.set_len(0)?;
        file.rewind()?;
    }
    bar.set_position(file.metadata()?.len());
    // A server that never stops must not fill the disk.
    let mut body = bar.wrap_read(response.into_body().into_reader().take(2 * CIFAR_100_BYTES));
    io::copy(&mut body, file)?;
    Ok(file.flush()?)
}

fn md5(path: &Path) -> anyhow::Result<String> {
    let mut hash = Md5::new();
    let mut file = fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file
            .read(&mut buffer)
            .with_context(|| format!("cannot read {}", path.display()))?
        {
            0 => return Ok(hex::encode(hash.finalize())),
            count => hash.update(&buffer[..count]),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead as _, BufReader},
        net::TcpListener,
        thread,
    };

    use super::*;

    /// Serves one request for "0123456789" and gives what range was asked for.
    fn serve_once(honours_range: bool) -> (String, thread::JoinHandle<Option<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/file", listener.local_addr().unwrap());
        (url, thread::spawn(move || serve(&listener, honours_range, 10)))
    }

    /// Sends the bytes before `end` of them.
    fn serve(listener: &TcpListener, honours_range: bool, end: usize) -> Option<String> {
        let (mut stream, _) = listener.accept().unwrap();
        let head: Vec<String> = BufReader::new(stream.try_clone().unwrap())
            .lines()
            .map(Result::unwrap)
            .take_while(|line| !line.is_empty())
            .collect();
        let range = head
            .iter()
            .find_map(|line| line.to_lowercase().strip_prefix("range: ").map(str::to_owned));
        let from = range.as_ref().filter(|_| honours_range).map_or(0, |range| {
            range["bytes=".len()..].trim_end_matches('-').parse().unwrap()
        });
        let (status, body) = (
            if from > 0 { "206 Partial Content" } else { "200 OK" },
            &"0123456789"[from..end],
        );
        let length = 10 - from;
        write!(
            stream,
            "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        )
        .unwrap();
        range
    }

    #[test]
    fn a_download_goes_on_where_it_broke_off() {
        for (already, honours_range, range) in [
            ("", true, None),
            ("01234", true, Some("bytes=5-")),
            ("01234", false, Some("bytes=5-")),
        ] {
            let directory = tempfile::tempdir().unwrap();
            let part = directory.path().join("file.part");
            fs::write(&part, already).unwrap();
            let (url, server) = serve_once(honours_range);
            receive(&url, &part).unwrap();
            assert_eq!(server.join().unwrap().as_deref(), range);
            assert_eq!(
                fs::read_to_string(&part).unwrap(),
                "0123456789",
                "{already} {honours_range}"
            );
        }
    }

    #[test]
    fn a_line_that_breaks_off_is_taken_up_again() {
        let directory = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/file", listener.local_addr().unwrap());
        let server = thread::spawn(move || [4, 7, 10].map(|end| serve(&listener, true, end)));
        let path = fetch_from(&url, "781e5e245d69b566979b86e28d23f2c7", directory.path()).unwrap();
        assert_eq!(fs::read_to_string(path).unwrap(), "0123456789");
        let ranges = [None, Some("bytes=4-"), Some("bytes=7-")];
        assert_eq!(server.join().unwrap().each_ref().map(Option::as_deref), ranges);
    }

    #[test]
    fn what_is_not_the_archive_is_thrown_away() {
        let directory = tempfile::tempdir().unwrap();
        let (url, server) = serve_once(true);
        let error = fetch_from(&url, CIFAR_100_MD5, directory.path())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("has the MD5 781e5e245d69b566979b86e28d23f2c7"),
            "{error}"
        );
        server.join().unwrap();
        // Nobody listens any more.
        assert!(fetch_from(&url, CIFAR_100_MD5, directory.path()).is_err());
        assert_eq!(directory.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn a_damaged_archive_is_named() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(cached(directory.path()).unwrap(), None);
        fs::write(directory.path().join(FILE), "not an archive").unwrap();
        let error = cached(directory.path()).unwrap_err().to_string();
        assert!(error.contains("is damaged") && error.contains("remove it"), "{error}");
    }
}
