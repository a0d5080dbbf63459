//! What four programs write down while they are called by somebody who means no good.

use std::{collections::HashMap, fs::File, process::Stdio};

use orderflow_proto::{
    catalog::v1::ListProductsRequest,
    order::v1::GetOrderRequest,
    user::v1::{LoginRequest, UpdateMeRequest, User, user_service_client::UserServiceClient},
};
use orderflow_testkit::{Person, eventually};
use tonic::{Request, transport::Endpoint};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::programs::{Program, command, is_ready, settings};

const PROGRAMS: [&str; 4] = ["user", "catalog", "order", "gateway"];

/// The programs, their logs in files. LOG=debug: more is written than in any deployment.
async fn start(settings: &HashMap<String, String>, logs: &std::path::Path) -> Vec<Program> {
    let start = |program: &&str| {
        let log = File::create(logs.join(program)).unwrap();
        let address = settings[&format!("{}_LISTEN", program.to_uppercase())]
            .parse()
            .unwrap();
        let mut command = command(program, settings);
        command
            .env("LOG", "debug")
            .stdout(Stdio::from(log.try_clone().unwrap()))
            .stderr(Stdio::from(log));
        Program {
            child: command.spawn().unwrap(),
            address,
        }
    };
    let programs: Vec<_> = PROGRAMS.iter().map(start).collect();
    eventually("ready", async || is_ready(&programs[3]).await).await;
    programs
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_is_a_line_and_nothing_secret_is_in_it_nor_in_any_answer() {
    let settings = settings().await;
    let logs = tempfile::tempdir().unwrap();
    let programs = start(&settings, logs.path()).await;
    let gateway = programs[3].address;
    let channel = Endpoint::from_shared(format!("http://{gateway}"))
        .unwrap()
        .connect()
        .await
        .unwrap();

    let ada = Person::register(channel.clone(), "ada").await;
    let mut said = Vec::new();
    let hostile =
        "\r\n2026-01-01T00:00:00Z  INFO forged: \u{202e}reversed\u{2066} \u{1b}[31m\u{85}\u{2028}";
    let login = |email: &str, password: &str| {
        let (email, password) = (email.to_owned(), password.to_owned());
        let mut users = UserServiceClient::new(channel.clone());
        async move {
            users
                .login(LoginRequest { email, password })
                .await
                .unwrap_err()
        }
    };
    said.push(login(&ada.email, "a wrong password").await);
    said.push(login(hostile, "a wrong password").await);
    said.push(ada.product().name(hostile).try_create().await.unwrap_err());
    said.push(
        ada.order()
            .raw_line(hostile, 1)
            .request_id(hostile)
            .place()
            .await
            .unwrap_err(),
    );
    let get = GetOrderRequest {
        id: hostile.to_owned(),
    };
    said.push(ada.orders().get_order(get).await.unwrap_err());
    let list = ListProductsRequest {
        order_by: hostile.to_owned(),
        page_token: hostile.to_owned(),
        ..Default::default()
    };
    said.push(ada.catalog().list_products(list).await.unwrap_err());
    let rename = UpdateMeRequest {
        user: Some(User {
            name: "\u{202e}adA\u{2066}".to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    };
    assert!(
        ada.users().update_me(rename).await.is_ok(),
        "a name may be written from right to left"
    );
    let mut request = Request::new(GetOrderRequest::default());
    let metadata = request.metadata_mut();
    metadata.insert(
        "authorization",
        format!("Bearer {}x", ada.token).parse().unwrap(),
    );
    metadata.insert("user-agent", "%E2%80%AE%0d%0aforged".parse().unwrap());
    metadata.insert("traceparent", "00-forged%0d%0a-1-01".parse().unwrap());
    let mut orders =
        orderflow_proto::order::v1::order_service_client::OrderServiceClient::new(channel.clone());
    said.push(orders.get_order(request).await.unwrap_err());
    let health = HealthCheckRequest {
        service: hostile.to_owned(),
    };
    said.push(
        HealthClient::new(channel.clone())
            .check(health)
            .await
            .unwrap_err(),
    );
    let healthy = HealthClient::new(channel)
        .check(HealthCheckRequest::default())
        .await
        .unwrap();

    let log = |program: &&str| std::fs::read_to_string(logs.path().join(program)).unwrap();
    // What is written is written before the answer: the log is there, and has what happened.
    assert!(log(&"gateway").contains("token refused"));
    drop(programs);
    let logs: Vec<_> = PROGRAMS.iter().map(log).collect();
    for line in logs
        .iter()
        .flat_map(|log| log.split('\n'))
        .filter(|line| !line.is_empty())
    {
        assert!(
            line.starts_with("20") && line.contains('Z'),
            "not the beginning of an entry: {line:?}"
        );
        let hidden = |c: char| {
            c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        };
        assert!(!line.contains(hidden), "{line:?}");
    }

    let mut secrets: Vec<_> = settings
        .iter()
        .filter(|(name, _)| name.ends_with("SECRET_KEY") || name.ends_with("SERVICE_KEY"))
        .map(|(_, secret)| secret.as_str())
        .collect();
    let signature = ada.token.rsplit_once('.').unwrap().1;
    secrets.extend([
        signature,
        "correct horse",
        "a wrong password",
        "$2b$",
        "mongodb://",
    ]);
    let said = said.iter().map(|status| format!("{status:?}"));
    let all: Vec<_> = logs
        .into_iter()
        .chain(said)
        .chain([format!("{healthy:?}")])
        .collect();
    for secret in secrets {
        for text in &all {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}
