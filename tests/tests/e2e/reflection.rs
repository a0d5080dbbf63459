//! What a stranger learns from the gateway: its services with their options, and whether they work.

use orderflow_testkit::{World, eventually};
use prost::Message;
use prost_types::FileDescriptorProto;
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

macro_rules! asks {
    ($name:ident, $version:ident) => {
        async fn $name(
            channel: tonic::transport::Channel,
            request: tonic_reflection::pb::$version::server_reflection_request::MessageRequest,
        ) -> Result<
            tonic_reflection::pb::$version::server_reflection_response::MessageResponse,
            tonic::Status,
        > {
            use tonic_reflection::pb::$version as pb;
            let mut client = pb::server_reflection_client::ServerReflectionClient::new(channel);
            let request = pb::ServerReflectionRequest {
                host: String::new(),
                message_request: Some(request),
            };
            let requests = futures::stream::iter([request]);
            let mut replies = client
                .server_reflection_info(requests)
                .await
                .unwrap()
                .into_inner();
            let reply = replies.message().await?.unwrap();
            Ok(reply.message_response.unwrap())
        }
    };
}

asks!(ask_v1, v1);
asks!(ask_v1alpha, v1alpha);

#[tokio::test]
async fn public_services_are_listed_and_internal_ones_unknown() {
    let world = World::start().await;
    let gateway = world.gateway().await;
    {
        use tonic_reflection::pb::v1::{
            server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
        };
        let listed = ask_v1(gateway.clone(), MessageRequest::ListServices(String::new()))
            .await
            .unwrap();
        let MessageResponse::ListServicesResponse(listed) = listed else {
            panic!("{listed:?}")
        };
        let mut names: Vec<_> = listed
            .service
            .into_iter()
            .map(|service| service.name)
            .collect();
        names.sort();
        assert_eq!(
            names,
            [
                "grpc.health.v1.Health",
                "grpc.reflection.v1.ServerReflection",
                "orderflow.catalog.v1.CatalogService",
                "orderflow.order.v1.OrderService",
                "orderflow.user.v1.UserService",
            ]
        );
        for internal in [
            "orderflow.catalog.v1.InventoryService",
            "orderflow.catalog.v1.Reservation",
            "orderflow.user.v1.IdentityService",
        ] {
            let symbol = MessageRequest::FileContainingSymbol(internal.to_owned());
            let answer = ask_v1(gateway.clone(), symbol).await;
            let code = answer.map_err(|status| status.code());
            assert_eq!(code, Err(Code::NotFound), "{internal}");
        }
        // So that clients can print them.
        let details = MessageRequest::FileContainingSymbol("google.rpc.BadRequest".to_owned());
        let answer = ask_v1(gateway.clone(), details).await.unwrap();
        assert!(matches!(answer, MessageResponse::FileDescriptorResponse(_)));
    }
    {
        use tonic_reflection::pb::v1alpha::{
            server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
        };
        let symbol = "orderflow.order.v1.OrderService".to_owned();
        let answer = ask_v1alpha(gateway, MessageRequest::FileContainingSymbol(symbol))
            .await
            .unwrap();
        let MessageResponse::FileDescriptorResponse(files) = answer else {
            panic!("{answer:?}")
        };
        let is_order_service = |file: &&Vec<u8>| {
            let file = FileDescriptorProto::decode(file.as_slice()).unwrap();
            file.name().ends_with("order_service.proto")
        };
        let file = files
            .file_descriptor_proto
            .iter()
            .find(is_order_service)
            .unwrap();
        // With its options: their key on the wire is in it.
        let option = orderflow_proto::descriptors()
            .get_extension_by_name("orderflow.options.v1.auth")
            .unwrap();
        let mut key = Vec::new();
        prost::encoding::encode_varint(u64::from(option.number()) << 3 | 2, &mut key);
        assert!(
            file.windows(key.len()).any(|window| window == key),
            "the option is gone"
        );
    }
}

#[tokio::test]
async fn each_service_has_a_health_of_its_own() {
    let world = World::start().await;
    let gateway = world.gateway().await;
    let names = [
        "",
        "orderflow.user.v1.UserService",
        "orderflow.catalog.v1.CatalogService",
        "orderflow.order.v1.OrderService",
    ];
    for name in names {
        eventually(name, async || {
            let request = HealthCheckRequest {
                service: name.to_owned(),
            };
            let answer = HealthClient::new(gateway.clone())
                .check(request)
                .await
                .unwrap();
            (answer.get_ref().status() == ServingStatus::Serving).then_some(())
        })
        .await;
    }
    let internal = "orderflow.catalog.v1.InventoryService".to_owned();
    let request = HealthCheckRequest { service: internal };
    assert!(HealthClient::new(gateway).check(request).await.is_err());
}
