//! Serves S3 alone from a directory, for trying a client against it:
//! `cargo run -p scones-s3 --example serve -- DIRECTORY PORT`, with the key
//! `AKIDEXAMPLE` and the secret `secret`.

use std::{net::Ipv4Addr, path::Path, sync::Arc};

use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use scones_api::{Owner, SystemClock};
use scones_s3::{CredentialSource, S3};
use scones_store::SqliteStore;

struct OneKey;

impl CredentialSource for OneKey {
    fn secret(&self, access_key_id: &str) -> Option<String> {
        (access_key_id == "AKIDEXAMPLE").then(|| "secret".to_owned())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().ok_or("a directory is expected")?;
    let port = arguments.next().ok_or("a port is expected")?.parse()?;
    let store = SqliteStore::open(Path::new(&directory))?;
    let s3 = S3::start(store, Owner::default(), Arc::new(SystemClock)).await?;
    let service = s3.http_service(Arc::new(OneKey));
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let connection = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service.clone()));
        tokio::spawn(connection);
    }
}
