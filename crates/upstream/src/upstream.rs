use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, RwLock},
    task::{Context, Poll},
    time::Duration,
};

use futures::future::{BoxFuture, join_all};
use http::{Request, Response, Uri};
use orderflow_chassis::{channel::Tls, config::ServiceUrls};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};
use tokio_util::task::AbortOnDropHandle;
use tonic::{Status, body::Body};
use tower::Service;

use crate::{Budget, Choice, Lease, Refused, Standing, connection::of_client, replica::Replica};

/// How often names are looked up.
const LOOK_UP_EVERY: Duration = Duration::from_secs(5);
/// How often they are at the most, when replicas are in doubt.
const AT_MOST_EVERY: Duration = Duration::from_millis(500);

/// A service and its replicas. Clones share them.
#[derive(Clone)]
pub struct Upstream {
    shared: Arc<Shared>,
    /// Names are looked up while anybody is interested.
    _following: Arc<AbortOnDropHandle<()>>,
}

struct Shared {
    name: &'static str,
    tls: Tls,
    choice: Choice,
    /// In the order of their addresses.
    replicas: RwLock<Vec<Followed>>,
    /// Some replica did not answer: there may be others by now.
    lost: Arc<Notify>,
    budget: Budget,
}

struct Followed {
    replica: Arc<Replica>,
    _following: AbortOnDropHandle<()>,
}

impl Upstream {
    /// The service `name` (for the log and for callers), to be found at these URLs.
    pub fn new(name: &'static str, urls: &ServiceUrls, tls: &Tls, choice: Choice) -> Self {
        Self::resolving(name, urls, tls, choice, |host_and_port| async move {
            Ok(tokio::net::lookup_host(host_and_port).await?.collect())
        })
    }

    /// As [`Upstream::new`], with a look-up of one's own: from `host:port` to addresses.
    pub fn resolving<F>(
        name: &'static str,
        urls: &ServiceUrls,
        tls: &Tls,
        choice: Choice,
        look_up: impl Fn(String) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
    {
        let shared = Arc::new(Shared {
            name,
            tls: tls.clone(),
            choice,
            replicas: RwLock::default(),
            lost: Arc::default(),
            budget: Budget::default(),
        });
        let urls = urls.0.clone();
        // What is an address already need not be waited for.
        let addresses = urls
            .iter()
            .filter_map(|url| Some((literal(url)?, url.clone())));
        shared.replace(addresses.collect());
        let following = tokio::spawn(follow(shared.clone(), urls, look_up));
        Self {
            shared,
            _following: Arc::new(AbortOnDropHandle::new(following)),
        }
    }

    /// What it is called: `order`.
    pub fn name(&self) -> &'static str {
        self.shared.name
    }

    /// How the best of its replicas stands; `None` while none is known.
    pub fn standing(&self) -> Option<Standing> {
        let replicas = self.shared.replicas.read().expect("no holder panics");
        replicas.iter().map(|f| f.replica.standing()).min()
    }

    /// Whether a replica says that it serves.
    pub fn is_serving(&self) -> bool {
        self.standing() == Some(Standing::Serving)
    }

    /// How many of its calls may be made again.
    pub fn budget(&self) -> &Budget {
        &self.shared.budget
    }

    /// A replica for one call; one that was not `tried` yet where there is another as good.
    pub fn pick(&self, tried: &[SocketAddr]) -> Result<Lease, Refused> {
        let replicas = self.shared.replicas.read().expect("no holder panics");
        let all = replicas.iter().map(|followed| &followed.replica);
        let chosen = self.shared.choice.of(self.shared.name, all, tried)?;
        Ok(Lease::new(chosen.clone()))
    }
}

/// Each call on a replica of its own choice.
impl Service<Request<Body>> for Upstream {
    type Response = Response<Body>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Response<Body>, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match self.pick(&[]) {
            Ok(lease) => of_client(request, |head, message| async move {
                lease.call(|| head.clone(), &message).await
            }),
            Err(refused) => Box::pin(async move { Err(refused.into()) }),
        }
    }
}

impl Shared {
    /// Makes these the replicas. Those that stay keep their connections; calls on those that go are finished.
    fn replace(&self, mut addresses: Vec<(SocketAddr, Uri)>) {
        addresses.sort_by_key(|(address, _)| *address);
        addresses.dedup_by_key(|(address, _)| *address);
        let mut replicas = self.replicas.write().expect("no holder panics");
        let mut known: HashMap<_, _> = replicas
            .drain(..)
            .map(|followed| (followed.replica.address, followed))
            .collect();
        replicas.extend(addresses.into_iter().map(|(address, url)| {
            known.remove(&address).unwrap_or_else(|| {
                tracing::info!(upstream = self.name, %address, "a new replica");
                self.started(address, url)
            })
        }));
        for address in known.keys() {
            tracing::info!(upstream = self.name, %address, "a replica is no longer listed");
        }
    }

    fn started(&self, address: SocketAddr, url: Uri) -> Followed {
        let replica = Arc::new(Replica::new(address, &url, &self.tls));
        let (followed, name, lost) = (replica.clone(), self.name, self.lost.clone());
        let tls = self.tls.clone();
        let following = async move { followed.follow(name, &url, &tls, &lost).await };
        Followed {
            replica,
            _following: AbortOnDropHandle::new(tokio::spawn(following)),
        }
    }
}

/// Looks names up, again and again.
async fn follow<F>(shared: Arc<Shared>, urls: Vec<Uri>, look_up: impl Fn(String) -> F + Send)
where
    F: Future<Output = io::Result<Vec<SocketAddr>>> + Send,
{
    let mut known: HashMap<Uri, Vec<SocketAddr>> = HashMap::new();
    loop {
        let found = join_all(urls.iter().map(|url| look_up(host_and_port(url)))).await;
        for (url, found) in urls.iter().zip(found) {
            match found {
                Ok(addresses) if !addresses.is_empty() => _ = known.insert(url.clone(), addresses),
                // The last answer holds: name servers fail too, and whether anybody is there is seen from their health.
                Ok(_) => tracing::warn!(upstream = shared.name, %url, "a name without addresses"),
                Err(error) => {
                    tracing::warn!(upstream = shared.name, %url, %error, "a name was not found");
                }
            }
        }
        let of_url = |(url, addresses): (&Uri, &Vec<SocketAddr>)| {
            let url = url.clone();
            let addresses = addresses.clone().into_iter();
            addresses.map(move |address| (address, url.clone()))
        };
        shared.replace(known.iter().flat_map(of_url).collect());

        sleep(AT_MOST_EVERY).await;
        let _ = timeout(LOOK_UP_EVERY, shared.lost.notified()).await;
    }
}

/// The address in a URL, if that is what it has.
fn literal(url: &Uri) -> Option<SocketAddr> {
    let host = url.host()?.trim_matches(['[', ']']);
    Some(SocketAddr::new(host.parse::<IpAddr>().ok()?, port(url)))
}

fn host_and_port(url: &Uri) -> String {
    format!("{}:{}", url.host().unwrap_or_default(), port(url))
}

fn port(url: &Uri) -> u16 {
    let by_scheme = match url.scheme_str() {
        Some("https") => 443,
        _ => 80,
    };
    url.port_u16().unwrap_or(by_scheme)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use orderflow_chassis::{Shutdown, health::Health};
    use tokio::{net::TcpListener, time::Instant};
    use tonic::transport::{Server, server::TcpIncoming};
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// A server with nothing but health; it ends with the test.
    struct Running(Health, Shutdown);

    impl Drop for Running {
        fn drop(&mut self) {
            self.1.cancel();
        }
    }

    async fn start(listener: TcpListener) -> Running {
        let (health, health_server) = Health::starting([]).await;
        health.set("", true).await;
        let shutdown = Shutdown::new();
        let served = Server::builder()
            .add_service(health_server)
            .serve_with_incoming_shutdown(
                TcpIncoming::from(listener),
                shutdown.clone().cancelled_owned(),
            );
        tokio::spawn(served);
        Running(health, shutdown)
    }

    /// Listeners on these addresses, on one port.
    async fn listeners(addresses: [&str; 2]) -> [TcpListener; 2] {
        loop {
            let first = TcpListener::bind((addresses[0], 0)).await.unwrap();
            let port = first.local_addr().unwrap().port();
            if let Ok(second) = TcpListener::bind((addresses[1], port)).await {
                return [first, second];
            }
        }
    }

    async fn until(what: &str, condition: impl Fn() -> bool) {
        let until = Instant::now() + PATIENCE;
        while !condition() {
            assert!(Instant::now() < until, "{what}");
            sleep(Duration::from_millis(5)).await;
        }
    }

    async fn call(upstream: &Upstream) -> Result<(), Status> {
        let mut client = HealthClient::new(upstream.clone());
        client.check(HealthCheckRequest::default()).await.map(drop)
    }

    fn first(upstream: &Upstream) -> SocketAddr {
        upstream.pick(&[]).unwrap().address()
    }

    #[tokio::test]
    async fn a_name_is_looked_up_again_when_its_replica_goes() {
        let [one, other] = listeners(["127.0.0.2", "127.0.0.3"]).await;
        let (at_one, at_other) = (one.local_addr().unwrap(), other.local_addr().unwrap());
        let names = Arc::new(Mutex::new(vec![at_one]));
        let urls = format!("http://catalog:{}", at_one.port()).parse().unwrap();
        let known = names.clone();
        let upstream = Upstream::resolving(
            "catalog",
            &urls,
            &Tls::default(),
            Choice::First,
            move |asked| {
                assert_eq!(asked, format!("catalog:{}", at_one.port()));
                let found = known.lock().unwrap().clone();
                async { Ok(found) }
            },
        );
        let running = start(one).await;
        until("serving", || upstream.is_serving()).await;
        assert_eq!(first(&upstream), at_one);

        *names.lock().unwrap() = vec![at_other];
        let _other = start(other).await;
        drop(running);
        until("the other", || {
            upstream.is_serving() && first(&upstream) == at_other
        })
        .await;
        call(&upstream).await.unwrap();
    }

    #[tokio::test]
    async fn a_name_that_is_not_found_for_a_while_keeps_its_replicas() {
        let [one, _] = listeners(["127.0.0.2", "127.0.0.3"]).await;
        let at_one = one.local_addr().unwrap();
        let answers = Mutex::new(vec![Ok(vec![]), Err(io::ErrorKind::NotFound.into())]);
        let asked = Arc::new(Notify::new());
        let is_asked = asked.clone();
        let urls = "http://catalog:7002".parse().unwrap();
        let upstream = Upstream::resolving(
            "catalog",
            &urls,
            &Tls::default(),
            Choice::First,
            move |_| {
                let answer = answers.lock().unwrap().pop();
                is_asked.notify_one();
                async move { answer.unwrap_or_else(|| Ok(vec![at_one])) }
            },
        );
        // Nobody is known: refused, and not waited for.
        assert_eq!(upstream.pick(&[]).err(), Some(Refused::NoneLeft("catalog")));
        for _ in 0..2 {
            asked.notified().await;
            upstream.shared.lost.notify_one();
        }
        let _running = start(one).await;
        until("serving", || upstream.is_serving()).await;
    }

    #[tokio::test]
    async fn who_drains_gets_no_new_calls_and_who_is_gone_none_at_all() {
        let [one, other] = listeners(["127.0.0.2", "127.0.0.3"]).await;
        let (at_one, at_other) = (one.local_addr().unwrap(), other.local_addr().unwrap());
        let urls = format!("http://{at_one},http://{at_other}")
            .parse()
            .unwrap();
        let upstream = Upstream::new("catalog", &urls, &Tls::default(), Choice::First);
        let (one, other) = (start(one).await, start(other).await);
        until("the first", || {
            upstream.is_serving() && first(&upstream) == at_one
        })
        .await;

        one.0.set("", false).await;
        until("the second", || first(&upstream) == at_other).await;
        // Where both say so, the calls get there: they know better what they can still do.
        other.0.set("", false).await;
        until("both", || upstream.standing() == Some(Standing::NotServing)).await;
        call(&upstream).await.unwrap();

        drop((one, other));
        until("nobody", || upstream.pick(&[]).is_err()).await;
        let status = call(&upstream).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::Unavailable);
        assert!(status.message().contains("catalog"), "{status:?}");
    }

    #[test]
    fn addresses_in_urls_need_no_look_up() {
        let literal = |url: &'static str| literal(&Uri::from_static(url)).map(|a| a.to_string());
        assert_eq!(literal("http://127.0.0.1:7002").unwrap(), "127.0.0.1:7002");
        assert_eq!(literal("http://[::1]:7002").unwrap(), "[::1]:7002");
        assert_eq!(literal("http://127.0.0.1").unwrap(), "127.0.0.1:80");
        assert_eq!(literal("http://catalog:7002"), None);
        assert_eq!(
            host_and_port(&Uri::from_static("http://catalog:7002")),
            "catalog:7002"
        );
    }
}
