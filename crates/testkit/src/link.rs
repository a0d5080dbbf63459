use std::{
    net::SocketAddr,
    sync::{Arc, RwLock},
    time::Duration,
};

use tokio::{
    io::{self, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
    time::sleep,
};

/// How much goes on at a time.
const PIECE: usize = 16 * 1024;

/// How a link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// What comes goes on.
    Whole,
    /// Each piece, of 16 KiB at the most, takes so long, in either direction.
    Slow(Duration),
    /// Connections stay open, and nothing gets through: as if a network lost every packet. What was sent meanwhile arrives
    /// late, unless the connection is given up before.
    Silent,
    /// What is asked arrives, and what is answered does not.
    Mute,
    /// The connections that there are fall silent, and new ones are whole: as behind a router that has forgotten them.
    Stranded,
    /// Connections are reset, and so are new ones.
    Cut,
}

impl Condition {
    /// On a connection that was made after the others had been stranded, if they are.
    fn holds_back(self, direction: Direction, is_new: bool) -> bool {
        match self {
            // What was held back must not slip through in the moment in which the connection is lost.
            Self::Silent | Self::Cut => true,
            Self::Mute => direction == Direction::Back,
            Self::Stranded => !is_new,
            Self::Whole | Self::Slow(_) => false,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    There,
    Back,
}

/// The network between two programs: an address that leads to another one, through which connections go for as long as it is
/// well. It ends when this is dropped.
pub struct Link {
    address: SocketAddr,
    condition: watch::Sender<Condition>,
    target: Arc<RwLock<SocketAddr>>,
    accepting: JoinHandle<()>,
}

impl Link {
    /// A way to this address.
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (condition, is) = watch::channel(Condition::Whole);
        let target = Arc::new(RwLock::new(target));
        let leads_to = target.clone();
        let accepting = tokio::spawn(async move {
            // Connections end with the link.
            let mut connections = tokio::task::JoinSet::new();
            loop {
                tokio::select! {
                    Ok((client, _)) = listener.accept() => {
                        connections.spawn(connect(client, leads_to.clone(), is.clone()));
                    }
                    Some(_) = connections.join_next() => {}
                }
            }
        });
        Self {
            address,
            condition,
            target,
            accepting,
        }
    }

    /// Where it begins.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on connections lead to another address.
    pub fn lead_to(&self, target: SocketAddr) {
        *self.target.write().unwrap() = target;
    }

    /// Makes it so, for the connections that there are, too.
    pub fn becomes(&self, condition: Condition) {
        self.condition.send_replace(condition);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn connect(
    mut client: TcpStream,
    target: Arc<RwLock<SocketAddr>>,
    mut is: watch::Receiver<Condition>,
) {
    let is_new = *is.borrow() == Condition::Stranded;
    let target = async {
        let opens = |condition: &Condition| {
            *condition == Condition::Cut || !condition.holds_back(Direction::There, true)
        };
        is.wait_for(opens).await.ok()?;
        let target = *target.read().unwrap();
        TcpStream::connect(target).await.ok()
    };
    let carried = match target.await {
        Some(mut server) => {
            let carried = carry_both(&mut client, &mut server, is, is_new).await;
            if carried.is_err() {
                let _ = server.set_zero_linger();
            }
            carried
        }
        None => Err(io::ErrorKind::ConnectionRefused.into()),
    };
    if carried.is_err() {
        // A reset, which nobody takes for an end in good order.
        let _ = client.set_zero_linger();
    }
}

/// Until both have no more to send, or the connection is lost.
async fn carry_both(
    client: &mut TcpStream,
    server: &mut TcpStream,
    is: watch::Receiver<Condition>,
    is_new: bool,
) -> io::Result<()> {
    // Else small answers would wait for the ones before them to be acknowledged.
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let passes = |direction| move |is: &Condition| !is.holds_back(direction, is_new);
    let there = carry(from_client, to_server, is.clone(), passes(Direction::There));
    let back = carry(from_server, to_client, is.clone(), passes(Direction::Back));
    let mut cut = is;
    tokio::select! {
        biased;
        _ = cut.wait_for(|condition| *condition == Condition::Cut) => {
            Err(io::ErrorKind::ConnectionReset.into())
        }
        carried = async { tokio::try_join!(there, back) } => carried.map(drop),
    }
}

/// Carries what one side sends to the other, until it has no more to send.
async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut is: watch::Receiver<Condition>,
    passes: impl Fn(&Condition) -> bool,
) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let length = from.read(&mut piece).await?;
        match is.wait_for(&passes).await.map(|condition| *condition) {
            Ok(Condition::Slow(delay)) => sleep(delay).await,
            Ok(_) => {}
            // The link is gone.
            Err(_) => return Err(io::ErrorKind::ConnectionReset.into()),
        }
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(&piece[..length]).await?;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::time::timeout;

    use super::*;

    /// Who sends everything back, and a connection to them.
    async fn echo() -> (Link, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let link = Link::to(listener.local_addr().unwrap()).await;
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    io::copy(&mut from, &mut to).await
                });
            }
        });
        let client = TcpStream::connect(link.address()).await.unwrap();
        (link, client)
    }

    async fn is_echoed(client: &mut TcpStream, text: &str) -> io::Result<()> {
        client.write_all(text.as_bytes()).await?;
        let mut back = vec![0; text.len()];
        client.read_exact(&mut back).await?;
        assert_eq!(back, text.as_bytes());
        Ok(())
    }

    #[tokio::test]
    async fn what_comes_goes_on_slowly_late_or_not_at_all() {
        let (link, mut client) = echo().await;
        is_echoed(&mut client, "whole").await.unwrap();

        link.becomes(Condition::Slow(Duration::from_millis(50)));
        let begin = Instant::now();
        is_echoed(&mut client, "slow").await.unwrap();
        assert!(begin.elapsed() >= Duration::from_millis(100));

        for condition in [Condition::Silent, Condition::Mute] {
            link.becomes(condition);
            client.write_all(b"late").await.unwrap();
            let mut back = [0; 4];
            let moment = Duration::from_millis(100);
            timeout(moment, client.read_exact(&mut back))
                .await
                .expect_err("it came through");
            link.becomes(Condition::Whole);
            client.read_exact(&mut back).await.unwrap();
            assert_eq!(&back, b"late");
        }

        link.becomes(Condition::Stranded);
        client.write_all(b"late").await.unwrap();
        let mut new = TcpStream::connect(link.address()).await.unwrap();
        is_echoed(&mut new, "new").await.unwrap();
        link.becomes(Condition::Whole);
        is_echoed(&mut new, "new").await.unwrap();
        client.read_exact(&mut [0; 4]).await.unwrap();

        link.becomes(Condition::Cut);
        let lost = is_echoed(&mut client, "lost").await.unwrap_err();
        assert!(matches!(
            lost.kind(),
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
        ));
        link.becomes(Condition::Whole);
        let mut anew = TcpStream::connect(link.address()).await.unwrap();
        is_echoed(&mut anew, "whole").await.unwrap();
    }

    #[tokio::test]
    async fn an_end_in_good_order_arrives_as_one() {
        let (_link, mut client) = echo().await;
        is_echoed(&mut client, "first").await.unwrap();
        client.shutdown().await.unwrap();
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.unwrap();
        assert!(rest.is_empty());
    }
}
