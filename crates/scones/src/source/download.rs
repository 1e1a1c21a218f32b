//! Fetching the official CIFAR-100 archive: once, checked, and from where an
//! earlier attempt broke off.

use std::{
    fs,
    io::{self, Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
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

/// The archive in the cache, if it is there and whole.
pub(crate) fn cached(cache: &Path) -> anyhow::Result<Option<PathBuf>> {
    let path = cache.join(FILE);
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
    fs::create_dir_all(cache).with_context(|| format!("cannot make {}", cache.display()))?;
    let part = cache.join(format!("{FILE}.part"));
    receive(CIFAR_100_URL, &part).with_context(|| format!("cannot download {CIFAR_100_URL}"))?;
    let found = md5(&part)?;
    if found != CIFAR_100_MD5 {
        fs::remove_file(&part).with_context(|| format!("cannot remove {}", part.display()))?;
        bail!("what {CIFAR_100_URL} gave has the MD5 {found}, not {CIFAR_100_MD5}; it was thrown away");
    }
    let path = cache.join(FILE);
    fs::rename(&part, &path).with_context(|| format!("cannot move the archive to {}", path.display()))?;
    Ok(path)
}

/// Adds what is missing at the end of `part`.
fn receive(url: &str, part: &Path) -> anyhow::Result<()> {
    let mut file = fs::OpenOptions::new().create(true).append(true).open(part)?;
    let have = file.metadata()?.len();
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_recv_response(Some(RESPONSE_TIMEOUT))
        .build()
        .into();
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
    let bar = terminal::bar(CIFAR_100_BYTES, "bytes", "Downloading CIFAR-100");
    bar.set_position(file.metadata()?.len());
    // A server that never stops must not fill the disk.
    let mut body = bar.wrap_read(response.into_body().into_reader().take(2 * CIFAR_100_BYTES));
    io::copy(&mut body, &mut file)?;
    file.flush()?;
    file.sync_all()?;
    bar.finish_and_clear();
    Ok(())
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
        let server = thread::spawn(move || {
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
                &"0123456789"[from..],
            );
            write!(
                stream,
                "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            )
            .unwrap();
            range
        });
        (url, server)
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
    fn a_damaged_archive_is_named() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(cached(directory.path()).unwrap(), None);
        fs::write(directory.path().join(FILE), "not an archive").unwrap();
        let error = cached(directory.path()).unwrap_err().to_string();
        assert!(error.contains("is damaged") && error.contains("remove it"), "{error}");
    }
}
