//! Which service lives where, and how its methods may be called.

use std::collections::HashMap;

use orderflow_chassis::config::ServiceUrls;
use orderflow_proto::{is_idempotent, is_internal, methods, path};
use orderflow_upstream::{Choice, Upstream};
use prost_reflect::DescriptorPool;

use crate::{Config, Error, batched::Batched};

/// The services behind the gateway.
pub(crate) struct Upstreams {
    pub(crate) user: Upstream,
    catalog: Upstream,
    order: Upstream,
}

/// What the relay has to know of a method.
pub(crate) struct Method {
    pub(crate) upstream: Upstream,
    /// Whether it may be called again, by the word of the contract.
    pub(crate) is_idempotent: bool,
    pub(crate) streams_answers: bool,
    /// Whether calls that come at the same time go on as one.
    pub(crate) batched: Option<Batched>,
}

/// The methods that can be called from outside, by their paths.
pub(crate) type Methods = HashMap<String, Method>;

impl Upstreams {
    pub(crate) fn new(config: &Config) -> Self {
        let upstream =
            |name, urls: &ServiceUrls| Upstream::new(name, urls, &config.tls, Choice::LeastLoaded);
        Self {
            user: upstream("user", &config.user_url),
            catalog: upstream("catalog", &config.catalog_url),
            order: upstream("order", &config.order_url),
        }
    }

    pub(crate) fn all(&self) -> [&Upstream; 3] {
        [&self.user, &self.catalog, &self.order]
    }

    /// Each service with its upstream. An error when one has none: better no gateway than one that lists a service and cannot
    /// reach it.
    pub(crate) fn place(
        &self,
        services: impl Iterator<Item = String>,
    ) -> Result<Vec<(String, &'static str)>, Error> {
        services
            .map(|service| Ok((service.clone(), self.of_service(&service)?.name())))
            .collect()
    }

    /// The methods of the contract. An error when one takes a stream: gRPC-Web and JSON know none, and the relay reads a request
    /// whole before it bothers a service with it.
    pub(crate) fn methods(&self, pool: &DescriptorPool) -> Result<Methods, Error> {
        methods(pool)
            .filter(|method| !is_internal(method))
            .map(|method| {
                if method.is_client_streaming() {
                    return Err(Error::TakesStream(method.full_name().to_owned()));
                }
                let upstream = self.of_service(method.parent_service().full_name())?;
                let batched = Batched::read(&method, upstream)?;
                let known = Method {
                    upstream: upstream.clone(),
                    is_idempotent: is_idempotent(&method),
                    streams_answers: method.is_server_streaming(),
                    batched,
                };
                Ok((path(&method), known))
            })
            .collect()
    }

    /// `orderflow.order.v1.OrderService` lives on `order`.
    fn of_service(&self, service: &str) -> Result<&Upstream, Error> {
        let package = service.strip_prefix("orderflow.");
        let noun = package.and_then(|package| package.split('.').next());
        self.all()
            .into_iter()
            .find(|upstream| Some(upstream.name()) == noun)
            .ok_or_else(|| Error::Unplaced(service.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use orderflow_chassis::{channel, serve};
    use orderflow_identity::service::ServiceIdentity;

    use super::*;
    use crate::{Limits, Origins};

    fn upstreams() -> Upstreams {
        let url: ServiceUrls = "http://127.0.0.1:1".parse().unwrap();
        Upstreams::new(&Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            serving: serve::Options::edge(),
            tls: channel::Tls::default(),
            user_url: url.clone(),
            catalog_url: url.clone(),
            order_url: url,
            service: ServiceIdentity::new("gateway", "0123456789abcdef0123456789abcdef").unwrap(),
            cors_origins: Origins::default(),
            shop_dir: "/nowhere".into(),
            limits: Limits::off(),
        })
    }

    #[tokio::test]
    async fn a_package_names_its_upstream_and_the_contract_says_the_rest() {
        let methods = upstreams().methods(orderflow_proto::descriptors()).unwrap();
        let create = &methods["/orderflow.order.v1.OrderService/CreateOrder"];
        assert_eq!(create.upstream.name(), "order");
        assert!(!create.is_idempotent && !create.streams_answers);
        let get = &methods["/orderflow.catalog.v1.CatalogService/GetProduct"];
        assert_eq!(get.upstream.name(), "catalog");
        assert!(get.is_idempotent);
        assert!(!methods.contains_key("/orderflow.catalog.v1.InventoryService/Reserve"));
    }

    #[tokio::test]
    async fn what_cannot_be_relayed_keeps_the_gateway_from_starting() {
        let services = [
            "orderflow.user.v1.UserService",
            "orderflow.payment.v1.PaymentService",
        ];
        let placed = upstreams().place(services.into_iter().map(str::to_owned));
        let Err(Error::Unplaced(service)) = placed else {
            panic!("{placed:?}");
        };
        assert_eq!(service, services[1]);

        // Reflection takes a stream of questions.
        let set = tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET;
        let reflection = upstreams().methods(&DescriptorPool::decode(set).unwrap());
        assert!(matches!(reflection, Err(Error::TakesStream(_))));
    }
}
