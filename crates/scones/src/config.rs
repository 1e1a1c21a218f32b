//! Where the data lies and where the server listens. A flag wins over the
//! environment, and the environment over the default.

use std::{
    env, fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use scones_api::{Account, Owner, Region};
use scones_states::Mocks;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{failure::WithHint as _, terminal::quoted};

/// Where the server listens unless told otherwise.
pub(crate) const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 4566);

/// Which data directory a command works on.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct DataArgs {
    /// Where everything is kept [default: the user's data folder]
    #[arg(long, env = "SCONES_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

impl DataArgs {
    /// The option as it must be repeated to other commands; empty for the default.
    pub(crate) fn option(&self) -> String {
        self.data_dir
            .as_ref()
            .map(|directory| format!(" --data-dir {}", quoted(&directory.to_string_lossy())))
            .unwrap_or_default()
    }

    /// The directory, not necessarily there.
    pub(crate) fn directory(&self) -> anyhow::Result<PathBuf> {
        match &self.data_dir {
            Some(directory) => std::path::absolute(directory).context("cannot tell the working directory"),
            None => default_directory().context("there is no home directory; name a data directory with --data-dir"),
        }
    }

    /// The folder in it for downloads.
    pub(crate) fn downloads(&self) -> anyhow::Result<PathBuf> {
        Ok(self.directory()?.join("downloads"))
    }
}

/// Which ONNX Runtime runs models in ONNX.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct OnnxArgs {
    /// ONNX Runtime's shared library, for models in ONNX [default: where the system finds it]
    #[arg(long, env = scones_onnx::LIBRARY_VARIABLE, value_name = "FILE")]
    onnx_runtime: Option<PathBuf>,
}

impl OnnxArgs {
    /// It is loaded when a model needs it.
    pub(crate) fn runtime(&self) -> scones_onnx::Runtime {
        scones_onnx::Runtime::new(self.onnx_runtime.clone())
    }
}

/// What a server is started with.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ServerArgs {
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// The address to listen on; port 0 takes a free one
    #[arg(long, env = "SCONES_LISTEN", value_name = "ADDRESS:PORT", default_value_t = DEFAULT_LISTEN, value_parser = listen)]
    pub(crate) listen: SocketAddr,
    /// The account in every ARN, chosen at the first start [default: 000000000000]
    #[arg(long, env = "SCONES_ACCOUNT", value_name = "NUMBER", value_parser = account)]
    account: Option<Account>,
    /// The region in every ARN, chosen at the first start [default: us-east-1]
    #[arg(long, env = "SCONES_REGION", value_name = "REGION", value_parser = region)]
    region: Option<Region>,
    /// Step Functions Local's mock configuration, for executions of ARN#TestCase
    #[arg(long, env = "SFN_MOCK_CONFIG", value_name = "FILE")]
    sfn_mock_config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) onnx: OnnxArgs,
}

impl ServerArgs {
    /// What stands for services in executions of test cases.
    pub(crate) fn mocks(&self) -> anyhow::Result<Mocks> {
        // An empty variable names no file.
        let Some(path) = self
            .sfn_mock_config
            .as_ref()
            .filter(|path| !path.as_os_str().is_empty())
        else {
            return Ok(Mocks::default());
        };
        let file = path.display();
        let text = fs::read_to_string(path)
            .with_context(|| format!("cannot read the mock configuration {file}"))
            .hint("--sfn-mock-config or SFN_MOCK_CONFIG names it")?;
        Mocks::parse(&text).or_else(|error| {
            let hint = error.hint;
            Err(error)
                .with_context(|| format!("the mock configuration {file} is not valid"))
                .hint(hint)
        })
    }

    /// The account and region of a data directory. They are chosen at its first
    /// start and kept: ARNs that name them lie everywhere in it.
    pub(crate) fn owner(&self, directory: &Path) -> anyhow::Result<Owner> {
        if let Some(kept) = kept_owner(directory)? {
            let same = self.account.as_ref().is_none_or(|account| *account == kept.account)
                && self.region.as_ref().is_none_or(|region| *region == kept.region);
            ensure!(
                same,
                "{} belongs to account {} and region {}, and its ARNs name them; \
                 leave --account and --region away, or name another --data-dir",
                directory.display(),
                kept.account,
                kept.region
            );
            return Ok(kept);
        }
        let owner = Owner {
            account: self.account.clone().unwrap_or_default(),
            region: self.region.clone().unwrap_or_default(),
        };
        write_json(&directory.join(OWNER_FILE), &owner)?;
        Ok(owner)
    }
}

/// The file that keeps a data directory's owner.
const OWNER_FILE: &str = "owner.json";

/// The account and region of a data directory that was started before.
pub(crate) fn kept_owner(directory: &Path) -> anyhow::Result<Option<Owner>> {
    read_json(&directory.join(OWNER_FILE))
}

/// The value in a file, if the file is there.
fn read_json<T: DeserializeOwned>(path: &Path) -> anyhow::Result<Option<T>> {
    match fs::read(path) {
        Ok(json) => Ok(Some(
            serde_json::from_slice(&json).with_context(|| format!("{} is damaged", path.display()))?,
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Replaces what a file says in one step.
fn write_json(path: &Path, value: &impl Serialize) -> anyhow::Result<()> {
    let temporary = path.with_extension("json.new");
    let written = fs::write(&temporary, serde_json::to_vec_pretty(value)?);
    written
        .and_then(|()| fs::rename(&temporary, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// An address, or a host's name that has one: of several, one of this machine alone, and IPv4.
fn listen(text: &str) -> Result<SocketAddr, String> {
    const HINT: &str = "an address and a port are expected, for example 127.0.0.1:4566 or localhost:0";
    let addresses = text
        .to_socket_addrs()
        .map_err(|error| format!("{error}\nhint: {HINT}"))?;
    addresses
        .min_by_key(|address| (!address.ip().is_loopback(), address.is_ipv6()))
        .ok_or_else(|| format!("the host has no address\nhint: {HINT}"))
}

fn account(text: &str) -> Result<Account, scones_api::IdentityError> {
    Account::try_from(text.to_owned())
}

fn region(text: &str) -> Result<Region, scones_api::IdentityError> {
    Region::try_from(text.to_owned())
}

fn default_directory() -> Option<PathBuf> {
    let home = env::home_dir().filter(|home| !home.as_os_str().is_empty());
    if cfg!(target_os = "macos") {
        return Some(home?.join("Library/Application Support/scones"));
    }
    let data = env::var_os("XDG_DATA_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    Some(data.or_else(|| Some(home?.join(".local/share")))?.join("scones"))
}

/// Makes the data directory, readable by its owner alone: it holds keys, images
/// and models. One that is there already is left as it is.
pub(crate) fn create_private(directory: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .and_then(|()| fs::metadata(directory))
        .map(|metadata| {
            if metadata.mode() & 0o077 != 0 {
                tracing::warn!(directory = %directory.display(), "others can read the data directory; `chmod 700` it");
            }
        })
        .with_context(|| format!("cannot make the data directory {}", directory.display()))
        .hint("choose another with --data-dir or SCONES_DATA_DIR")
}

/// The address that clients on this machine reach a server at.
pub(crate) fn endpoint(listen: SocketAddr) -> String {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, listen.port()))
}

/// What a running server says of itself in its data directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Running {
    /// Its address for clients.
    pub(crate) endpoint: String,
    /// Its process.
    pub(crate) pid: u32,
    /// The account and region.
    pub(crate) owner: Owner,
}

impl Running {
    const FILE: &'static str = "server.json";

    /// The server that was last seen on a data directory; it may be gone.
    pub(crate) fn read(directory: &Path) -> anyhow::Result<Option<Self>> {
        read_json(&directory.join(Self::FILE))
    }

    /// Says that it runs.
    pub(crate) fn write(&self, directory: &Path) -> anyhow::Result<()> {
        write_json(&directory.join(Self::FILE), self)
    }

    /// Takes the file away when the server stops.
    pub(crate) fn remove(directory: &Path) {
        if let Err(error) = fs::remove_file(directory.join(Self::FILE)) {
            tracing::debug!(%error, "the server's file could not be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_listens_at_an_address_or_a_hosts_name() {
        for (text, expected) in [
            ("127.0.0.1:4566", Some("127.0.0.1:4566")),
            ("[::1]:0", Some("[::1]:0")),
            ("localhost:4799", Some("127.0.0.1:4799")),
            ("localhost", None),
            ("4799", None),
            ("127.0.0.1:70000", None),
            ("no such host:1", None),
            ("", None),
        ] {
            let got = listen(text).map_err(|error| assert!(error.contains("hint: an address and a port"), "{error}"));
            assert_eq!(got.ok(), expected.map(|expected| expected.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn clients_reach_an_unspecified_address_at_loopback() {
        for (listen, expected) in [
            ("127.0.0.1:4566", "http://127.0.0.1:4566"),
            ("0.0.0.0:80", "http://127.0.0.1:80"),
            ("[::]:80", "http://[::1]:80"),
        ] {
            assert_eq!(endpoint(listen.parse().unwrap()), expected);
        }
    }
}
