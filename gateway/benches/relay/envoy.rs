//! Envoy, set to do the same.

use std::net::SocketAddr;

use serde_json::{Value, json};

/// A listener for HTTP/1.1, HTTP/2 and gRPC-Web that lets through what has a user's token, and one service behind it. Verified
/// tokens are remembered, as this gateway does.
pub(crate) fn settings(listen: SocketAddr, service: SocketAddr, jwks: &str) -> Value {
    let typed = |kind: &str, mut settings: Value| {
        settings["@type"] = format!("type.googleapis.com/envoy.extensions.{kind}").into();
        settings
    };
    let filter = |name: &str, kind: &str, settings| json!({"name": name, "typed_config": typed(kind, settings)});
    let socket = |address: SocketAddr| json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}});
    let tokens = json!({
        "providers": {"users": {
            "issuer": "orderflow",
            "audiences": ["orderflow"],
            "forward": true,
            "local_jwks": {"inline_string": jwks},
            "jwt_cache_config": {"jwt_cache_size": 1000},
        }},
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "users"}}],
    });
    let route = json!({
        "match": {"prefix": "/"},
        "route": {"cluster": "service", "timeout": "60s", "max_stream_duration": {"grpc_timeout_header_max": "60s"}},
    });
    let manager = json!({
        "codec_type": "AUTO",
        "stat_prefix": "edge",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [
            filter("grpc_web", "filters.http.grpc_web.v3.GrpcWeb", json!({})),
            filter("jwt_authn", "filters.http.jwt_authn.v3.JwtAuthentication", tokens),
            filter("router", "filters.http.router.v3.Router", json!({})),
        ],
    });
    let http2 = typed(
        "upstreams.http.v3.HttpProtocolOptions",
        json!({"explicit_http_config": {"http2_protocol_options": {}}}),
    );
    json!({
        "static_resources": {
            "listeners": [{
                "name": "edge",
                "address": socket(listen),
                "filter_chains": [{"filters": [filter(
                    "manager",
                    "filters.network.http_connection_manager.v3.HttpConnectionManager",
                    manager,
                )]}],
            }],
            "clusters": [{
                "name": "service",
                "type": "STATIC",
                "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2},
                "load_assignment": {
                    "cluster_name": "service",
                    "endpoints": [{"lb_endpoints": [{"endpoint": {"address": socket(service)}}]}],
                },
            }],
        },
    })
}
