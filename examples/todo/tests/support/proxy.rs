//! A network between browsers and the server, which can be cut.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// What the network does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// It works.
    Up,
    /// Every connection breaks, and new ones do not come about.
    Down,
    /// Requests arrive, and every connection breaks before its answer does.
    LosesAnswers,
}

/// A network in front of a server, at an address of its own.
pub struct Proxy {
    address: SocketAddr,
    network: watch::Sender<Network>,
}

impl Proxy {
    pub async fn before(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (network, state) = watch::channel(Network::Up);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, server, state.clone()));
            }
        });
        Self { address, network }
    }

    pub fn address(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Connections from before break.
    pub fn set(&self, network: Network) {
        self.network.send_replace(network);
    }
}

async fn pass(mut client: TcpStream, server: u16, mut state: watch::Receiver<Network>) {
    let network = *state.borrow_and_update();
    let passing = async {
        let Ok(mut server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
        match network {
            Network::Down => {}
            Network::Up => drop(copy_bidirectional(&mut client, &mut server).await),
            Network::LosesAnswers => {
                let mut request = [0; 8 * 1024];
                let mut answer = [0; 1];
                loop {
                    tokio::select! {
                        read = client.read(&mut request) => match read {
                            Ok(length @ 1..) => {
                                if server.write_all(&request[..length]).await.is_err() { return }
                            }
                            _ => return,
                        },
                        // The server has done what was asked, and says so: that is lost.
                        _ = server.read(&mut answer) => return,
                    }
                }
            }
        }
    };
    tokio::select! {
        () = passing => {}
        _ = state.changed() => {}
    }
}
