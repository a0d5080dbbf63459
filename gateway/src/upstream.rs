//! Which service lives where.

use http::Uri;
use orderflow_chassis::channel;
use tokio::sync::Semaphore;
use tonic::transport::Channel;

use crate::{Config, Error};

/// One of the services behind the gateway.
pub(crate) struct Upstream {
    /// For the log and for callers: `order`.
    pub(crate) name: &'static str,
    /// Connects when first used, and again when the connection is lost.
    pub(crate) channel: Channel,
    /// Room for calls on their way. More would not be refused by the connection, but wait for it in memory, without an end.
    pub(crate) room: Semaphore,
}

/// Calls on their way to one upstream at a time. Less than its connection takes, so that there always is room for the health
/// probe.
const ROOM: usize = 1_000;

/// All of them.
pub(crate) struct Upstreams {
    pub(crate) user: Upstream,
    catalog: Upstream,
    order: Upstream,
}

impl Upstreams {
    pub(crate) fn new(config: &Config) -> Self {
        let upstream = |name, url: &Uri| Upstream {
            name,
            channel: channel::lazy(url),
            room: Semaphore::new(ROOM),
        };
        Self {
            user: upstream("user", &config.user_url),
            catalog: upstream("catalog", &config.catalog_url),
            order: upstream("order", &config.order_url),
        }
    }

    pub(crate) fn all(&self) -> [&Upstream; 3] {
        [&self.user, &self.catalog, &self.order]
    }

    /// Where a method lives, by its path.
    pub(crate) fn of_path(&self, path: &str) -> Option<&Upstream> {
        self.of_service(path.strip_prefix('/')?.split_once('/')?.0)
    }

    /// Each service with the name of its upstream. An error when one has none: better no gateway than one that lists a
    /// service and cannot reach it.
    pub(crate) fn place(
        &self,
        services: impl Iterator<Item = String>,
    ) -> Result<Vec<(String, &'static str)>, Error> {
        services
            .map(|service| match self.of_service(&service) {
                Some(upstream) => Ok((service, upstream.name)),
                None => Err(Error::Unplaced(service)),
            })
            .collect()
    }

    /// `orderflow.order.v1.OrderService` lives on `order`.
    fn of_service(&self, service: &str) -> Option<&Upstream> {
        let noun = service.strip_prefix("orderflow.")?.split('.').next()?;
        self.all()
            .into_iter()
            .find(|upstream| upstream.name == noun)
    }
}

#[cfg(test)]
mod tests {
    use orderflow_chassis::serve;
    use orderflow_identity::service::ServiceIdentity;

    use super::*;

    fn upstreams() -> Upstreams {
        let url = Uri::from_static("http://127.0.0.1:1");
        Upstreams::new(&Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            serving: serve::Options::edge(),
            user_url: url.clone(),
            catalog_url: url.clone(),
            order_url: url,
            service: ServiceIdentity::new("gateway", "0123456789abcdef0123456789abcdef").unwrap(),
        })
    }

    #[tokio::test]
    async fn a_package_names_its_upstream() {
        let upstreams = upstreams();
        let of = |path| upstreams.of_path(path).map(|upstream| upstream.name);
        assert_eq!(
            of("/orderflow.order.v1.OrderService/CreateOrder"),
            Some("order")
        );
        assert_eq!(
            of("/orderflow.catalog.v1.CatalogService/GetProduct"),
            Some("catalog")
        );
        for elsewhere in [
            "",
            "/",
            "/orderflow.order.v1",
            "/order.v1.O/M",
            "/orderflow.money.v1.M/M",
        ] {
            assert_eq!(of(elsewhere), None, "{elsewhere}");
        }
    }

    #[tokio::test]
    async fn a_service_without_an_upstream_keeps_the_gateway_from_starting() {
        let services = [
            "orderflow.user.v1.UserService",
            "orderflow.payment.v1.PaymentService",
        ];
        let placed = upstreams().place(services.into_iter().map(str::to_owned));
        let Err(Error::Unplaced(service)) = placed else {
            panic!("{placed:?}");
        };
        assert_eq!(service, services[1]);
    }
}
