//! The port: accepting connections, and closing them without breaking off
//! what they are at.

use std::{io, net::SocketAddr, sync::Arc};

use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    Router,
    limits::{CONNECTIONS_MAX, DRAIN_TIMEOUT, HEAD_TIMEOUT},
};

/// A bound port, not yet served.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

impl Server {
    /// Binds `address`; port 0 takes a free one.
    ///
    /// # Errors
    /// The operating system's, for example that the port is taken.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// The address that was bound.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop`, then lets requests in progress end, for at most ten
    /// seconds.
    pub async fn serve(self, router: Arc<Router>, stop: CancellationToken) {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let graceful = GracefulShutdown::new();
        let mut connections = JoinSet::new();
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .pipeline_flush(true);
        loop {
            let accepted = tokio::select! {
                accepted = accept(&self.listener, &places) => accepted,
                Some(_) = connections.join_next() => continue,
                () = stop.cancelled() => break,
            };
            let Some((stream, place)) = accepted else { continue };
            let router = Arc::clone(&router);
            let service = service_fn(move |request| {
                let router = Arc::clone(&router);
                async move { Ok::<_, std::convert::Infallible>(router.handle(request).await) }
            });
            let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
            connections.spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection broke off");
                }
                drop(place);
            });
        }
        drop(self.listener);
        if tokio::time::timeout(DRAIN_TIMEOUT, graceful.shutdown()).await.is_err() {
            // Dropping the set ends them.
            tracing::warn!("requests were still in progress after {DRAIN_TIMEOUT:?}; their connections are closed");
        }
    }
}

type Place = tokio::sync::OwnedSemaphorePermit;

/// The next connection with its place. An error of one connection, or a lack
/// of file descriptors, must not end the server.
async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> Option<(tokio::net::TcpStream, Place)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "a connection cannot be set to send at once");
            }
            Some((stream, place))
        }
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            // Without a pause, a lack of file descriptors would make this a busy loop.
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            None
        }
    }
}
