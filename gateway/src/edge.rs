//! The way of a call through the gateway.

use std::sync::Arc;

use axum::{extract::Request, middleware::from_fn_with_state};
use orderflow_chassis::malformed;
use orderflow_identity::{Authorize, Authorizer};
use tonic::service::Routes;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_web::GrpcWebLayer;
use tower::ServiceBuilder;
use tower_http::cors::CorsLayer;

use crate::{
    Error,
    json::Json,
    limit::MAX_MESSAGE_BYTES,
    pages::{self, Pages},
    rate::{self, Rates},
    reflection,
    relay::Relay,
    web,
};

/// All that the gateway answers to. Around it, applied by the server that serves it: the trace, so that every answer names
/// one, refusals too.
pub(crate) fn routes<H: Health>(
    pages: Pages,
    cors: CorsLayer,
    rates: Arc<Rates>,
    authorizer: Arc<Authorizer>,
    relay: Arc<Relay>,
    health: HealthServer<H>,
) -> Result<Routes, Error> {
    let (v1, v1alpha) = reflection::servers()?;
    let json = Arc::new(Json::new(orderflow_proto::descriptors())?);
    // Outermost first.
    let layers = ServiceBuilder::new()
        // Which pages may read the answers. Around everything, or a browser would keep refusals from the page that caused them.
        .option_layer(cors)
        // Pages for people, which call nothing.
        .layer(from_fn_with_state(Arc::new(pages), pages::serve))
        // How often an address may call: before anything is done for it.
        .layer(from_fn_with_state(rates.clone(), rate::per_address))
        // Tells the kinds of calls apart, and makes gRPC of JSON. Here, since all that follows answers in gRPC's terms.
        .layer(from_fn_with_state(json, web::admit))
        // Makes gRPC of gRPC-Web. Before the policy, so that refusals reach browsers as gRPC-Web too.
        .layer(GrpcWebLayer::new())
        // Who may call what. Around everything that can be called, the gateway's own services included: nothing is
        // reachable by being forgotten.
        .layer(Authorize(authorizer));
    let router = Routes::new(health.max_decoding_message_size(MAX_MESSAGE_BYTES))
        .add_service(v1.max_decoding_message_size(MAX_MESSAGE_BYTES))
        .add_service(v1alpha.max_decoding_message_size(MAX_MESSAGE_BYTES))
        .into_axum_router()
        .layer(malformed::layer())
        // What is not the gateway's own is an upstream's.
        .fallback(move |request: Request| relay.clone().call(request))
        // How often a user may call, now that it is known who calls.
        .layer(from_fn_with_state(rates, rate::per_caller))
        .layer(layers);
    Ok(router.into())
}
