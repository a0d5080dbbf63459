//! A client that says how long it waits and leaves it to the server to keep to it. tonic's own channel ends the call as well, with
//! CANCELLED, a twentieth of a second after the answer of the server is due.

use std::{net::SocketAddr, time::Duration};

use http::Uri;
use orderflow_proto::{
    catalog::v1::catalog_service_client::CatalogServiceClient,
    order::v1::order_service_client::OrderServiceClient,
};
use orderflow_testkit::{Bearer, Person};
use tonic::{Request, service::interceptor::InterceptedService};

use crate::eight_steps::{Transport, transport};

type Authorized = InterceptedService<Transport, Bearer>;

/// Somebody who calls the gateway in this way.
pub(crate) struct Untimed {
    origin: Uri,
    authorized: Authorized,
}

impl Untimed {
    pub(crate) fn new(gateway: SocketAddr, person: &Person) -> Self {
        let executor = hyper_util::rt::TokioExecutor::new();
        let mut client = hyper_util::client::legacy::Client::builder(executor);
        let transport = transport(client.http2_only(true).build_http());
        Self {
            origin: format!("http://{gateway}").parse().unwrap(),
            authorized: InterceptedService::new(transport, Bearer::new(&person.token)),
        }
    }

    pub(crate) fn catalog(&self) -> CatalogServiceClient<Authorized> {
        CatalogServiceClient::with_origin(self.authorized.clone(), self.origin.clone())
    }

    pub(crate) fn orders(&self) -> OrderServiceClient<Authorized> {
        OrderServiceClient::with_origin(self.authorized.clone(), self.origin.clone())
    }
}

/// A request whose caller waits for so long.
pub(crate) fn within<T>(timeout: Duration, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(timeout);
    request
}
