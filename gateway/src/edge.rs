//! The way of a request through the gateway.

use std::{net::IpAddr, sync::Arc};

use axum::{
    Router,
    extract::Request,
    response::{IntoResponse, Response},
};
use http::header::AUTHORIZATION;
use orderflow_chassis::malformed;
use orderflow_identity::Authorizer;
use tonic::{Status, service::Routes};
use tonic_health::pb::health_server::{Health, HealthServer};
use tower::ServiceExt;

use crate::{
    Error,
    json::Json,
    limit::MAX_MESSAGE_BYTES,
    pages::Pages,
    rate::Rates,
    reflection,
    relay::Relay,
    web::{self, Kind},
};

/// All that the gateway answers to. Around it, applied by the server that serves it: the trace, so that every answer names one,
/// refusals too; and CORS, or a browser would keep refusals from the page that caused them.
///
/// Steps of one function in place of a stack of layers: a layer is a box or two for each request, and the order reads better so.
pub(crate) struct Edge {
    pub(crate) pages: Pages,
    pub(crate) rates: Rates,
    pub(crate) json: Json,
    pub(crate) authorizer: Authorizer,
    pub(crate) own: Own,
    pub(crate) relay: Relay,
}

impl Edge {
    /// Answers a request, whatever it is.
    pub(crate) async fn answer(self: Arc<Self>, request: Request) -> Response {
        // How often an address may call: before anything is done for it.
        let client = self.rates.client(&request);
        if let Err(too_many) = self.rates.per_address(client) {
            return web::refuse(request.headers(), too_many);
        }
        // Pages for people, which call nothing.
        let (method, uri, headers) = (request.method(), request.uri(), request.headers());
        if let Some(page) = self.pages.answer(method, uri, headers).await {
            return page;
        }
        // JSON and gRPC-Web become gRPC. Before the policy, so that refusals reach their callers in the same form as answers. What
        // they take is boxed, or every call would have room for it.
        let call = |request| self.call(client, request);
        match web::kind(&request) {
            Ok(Kind::Grpc) => call(request).await,
            Ok(Kind::Web(web)) => Box::pin(web.call(request, call)).await,
            Ok(Kind::Json) => Box::pin(self.json.call(request, call)).await,
            Err(no_call) => no_call.into_response(),
        }
    }

    /// Makes a call for a client.
    async fn call(&self, client: IpAddr, mut request: Request) -> Response {
        // Who may call what. Around everything that can be called, the gateway's own services included: nothing is reachable by
        // being forgotten.
        let path = request.uri().path();
        let caller = match self.authorizer.authorize(path, request.headers()) {
            Ok(caller) => caller,
            Err(denied) => return Status::from(denied).into_http(),
        };
        // How often a user may call, now that it is known who calls.
        let caller = caller.as_ref().map(|(caller, _)| caller);
        if let Err(too_many) = self.rates.per_caller(caller, client, path) {
            return too_many.into_http();
        }
        if caller.is_none() {
            // Nobody asked for a token: what is not verified goes no further, and need not be packed and unpacked.
            request.headers_mut().remove(AUTHORIZATION);
        }
        // What is not the gateway's own is an upstream's.
        if self.own.has(request.uri().path()) {
            Box::pin(self.own.call(request)).await
        } else {
            self.relay.call(request).await
        }
    }
}

/// The gateway's own services: health and reflection.
pub(crate) struct Own(Router);

impl Own {
    pub(crate) fn new<H: Health>(health: HealthServer<H>) -> Result<Self, Error> {
        let (v1, v1alpha) = reflection::servers()?;
        let routes = Routes::new(health.max_decoding_message_size(MAX_MESSAGE_BYTES))
            .add_service(v1.max_decoding_message_size(MAX_MESSAGE_BYTES))
            .add_service(v1alpha.max_decoding_message_size(MAX_MESSAGE_BYTES));
        Ok(Self(routes.into_axum_router().layer(malformed::layer())))
    }

    fn has(&self, path: &str) -> bool {
        path.starts_with("/grpc.")
    }

    async fn call(&self, request: Request) -> Response {
        let Ok(answer) = self.0.clone().oneshot(request).await;
        answer
    }
}
