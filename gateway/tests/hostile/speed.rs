//! How long others wait meanwhile. It is measured, not asserted: on a busy machine it says more about the machine.

use std::{pin::Pin, time::Duration};

use tokio::{
    io::AsyncWriteExt,
    time::{Instant, sleep, timeout},
};
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::{
    CHECK, REFLECT, WATCH,
    frames::{
        CONTINUATION, DATA, END_HEADERS, HEADERS, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE, call,
        frame, receive,
    },
    gateway::Gateway,
    http2, request,
};

const MEASURED: Duration = Duration::from_secs(3);

/// Makes one call after the other.
async fn p99(health: &mut HealthClient<Channel>) -> Duration {
    let mut times = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < MEASURED {
        let asked = Instant::now();
        health.check(HealthCheckRequest::default()).await.unwrap();
        times.push(asked.elapsed());
    }
    times.sort_unstable();
    times[times.len() * 99 / 100]
}

/// The same attack again and again, on one connection after the other.
async fn attack(gateway: &Gateway, beginning: &[u8], round: &dyn Fn(u32) -> Vec<u8>) {
    loop {
        let stream = http2(gateway, &[]).await;
        let (mut reading, mut writing) = stream.into_split();
        let reading = async { while receive(&mut reading).await.is_ok() {} };
        let writing = async {
            let _ = writing.write_all(beginning).await;
            let mut n = 0;
            while writing.write_all(&round(n)).await.is_ok() {
                n += 1;
            }
        };
        tokio::join!(reading, writing);
    }
}

async fn silent(gateway: &Gateway) {
    let mut connections = Vec::new();
    for _ in 0..900 {
        connections.push(gateway.connect().await);
    }
    sleep(2 * MEASURED).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures"]
async fn of_others() {
    let open = frame(HEADERS, END_HEADERS, 1, &call(REFLECT, &[]));
    let begun = frame(HEADERS, 0, 1, &call(CHECK, &[]));
    let many = |round: u32, one: &dyn Fn(u32) -> Vec<u8>| -> Vec<u8> {
        (0..100)
            .flat_map(|n| one(2 * (100 * round + n) + 1))
            .collect()
    };
    let taken_back = |round| {
        let reset = |id| frame(RST_STREAM, 0, id, &[0, 0, 0, 8]);
        many(round, &|id| [request(id, WATCH), reset(id)].concat())
    };
    let provoked = |round| {
        let one = |id| {
            let open = frame(HEADERS, END_HEADERS, id, &call(REFLECT, &[]));
            [open, frame(WINDOW_UPDATE, 0, id, &[0x7f, 255, 255, 255])].concat()
        };
        many(round, &one)
    };
    type Attack<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;
    type Flood<'a> = (&'a str, &'a [u8], &'a dyn Fn(u32) -> Vec<u8>);
    let floods: [Flood<'_>; 7] = [
        ("continuations", &begun, &|_| {
            frame(CONTINUATION, 0, 1, &[]).repeat(100)
        }),
        ("empty data", &open, &|_| frame(DATA, 0, 1, &[]).repeat(100)),
        ("pings", &[], &|_| frame(PING, 0, 0, &[0; 8]).repeat(100)),
        ("settings", &[], &|_| frame(SETTINGS, 0, 0, &[]).repeat(100)),
        ("taken back", &[], &taken_back),
        ("provoked resets", &[], &provoked),
        ("streams", &[], &|round| {
            many(round, &|id| request(id, WATCH))
        }),
    ];
    let gateway = Gateway::start(&[]).await;
    let endpoint = Endpoint::from_shared(format!("http://{}", gateway.address)).unwrap();
    let mut health = HealthClient::new(endpoint.connect().await.unwrap());
    let baseline = p99(&mut health).await;
    println!("{:<16} p99 {baseline:?}", "nothing");
    let floods = floods
        .iter()
        .map(|(what, beginning, round)| -> (_, Attack<'_>) {
            (*what, Box::pin(attack(&gateway, beginning, *round)))
        });
    let silent: (_, Attack<'_>) = ("silent", Box::pin(silent(&gateway)));
    for (what, attack) in floods.chain([silent]) {
        let measured = async { p99(&mut health).await };
        let measured = tokio::select! {
            measured = measured => measured,
            () = attack => panic!("it goes on"),
        };
        let times = measured.as_secs_f64() / baseline.as_secs_f64();
        println!("{what:<16} p99 {measured:?}, {times:.1} x");
    }
    timeout(MEASURED, gateway.is_well()).await.unwrap();
}
