//! What clients do to a server that they mean to bring down. After each attack the gateway is still there for everybody else,
//! and no larger than it was.

#![allow(clippy::unwrap_used)]

#[allow(dead_code, reason = "what only the friendly need")]
#[path = "../world/frames.rs"]
mod frames;
mod gateway;
mod speed;

use std::time::Duration;

use frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, PRIORITY,
    RST_STREAM, SETTINGS, WINDOW_UPDATE, call, frame, receive,
};
use gateway::{Gateway, PATIENCE, until};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    task::JoinSet,
    time::{Instant, timeout},
};

const CHECK: &str = "/grpc.health.v1.Health/Check";
const WATCH: &str = "/grpc.health.v1.Health/Watch";
const REFLECT: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

const ENHANCE_YOUR_CALM: u32 = 11;

/// HTTP/2 with these settings, as (key, value).
async fn http2(gateway: &Gateway, settings: &[(u16, u32)]) -> TcpStream {
    let mut stream = gateway.connect().await;
    let mut payload = Vec::new();
    for (key, value) in settings {
        payload.extend(key.to_be_bytes());
        payload.extend(value.to_be_bytes());
    }
    let beginning = [PREFACE, &frame(SETTINGS, 0, 0, &payload)].concat();
    stream.write_all(&beginning).await.unwrap();
    stream
}

/// A call that says at once that it is complete, though empty.
fn request(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &call(path, &[]))
}

/// A call with a message of nothing: of health, for that of all.
fn whole(stream: u32, path: &str) -> Vec<u8> {
    let open = frame(HEADERS, END_HEADERS, stream, &call(path, &[]));
    [open, frame(DATA, END_STREAM, stream, &[0; 5])].concat()
}

/// Sends the same again and again, numbered from 0, until the connection ends, which it must. Gives the error of the last
/// GOAWAY, if there was one.
async fn flood(stream: TcpStream, round: impl Fn(u32) -> Vec<u8>) -> Option<u32> {
    let (mut reading, mut writing) = stream.into_split();
    let reading = async {
        let mut goaway = None;
        while let Ok(received) = receive(&mut reading).await {
            if received.kind == GOAWAY {
                goaway = Some(u32::from_be_bytes(
                    received.payload[4..8].try_into().unwrap(),
                ));
            }
        }
        goaway
    };
    let writing = async {
        let mut rounds = 0;
        while writing.write_all(&round(rounds)).await.is_ok() {
            rounds += 1;
        }
    };
    let both = async { tokio::join!(reading, writing).0 };
    timeout(PATIENCE, both).await.expect("the connection ends")
}

/// Reads until the connection ends, answering pings: nothing else is wrong with this client.
async fn read_to_the_end(mut stream: TcpStream) {
    let reading = async {
        while let Ok(received) = receive(&mut stream).await {
            if received.kind == PING && received.flags & ACK == 0 {
                let pong = frame(PING, ACK, 0, &received.payload);
                if stream.write_all(&pong).await.is_err() {
                    return;
                }
            }
        }
    };
    timeout(PATIENCE, reading)
        .await
        .expect("the connection ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_never_end() {
    let gateway = Gateway::start(&[]).await;
    let block = call(CHECK, &[]);
    for continuation in [&[][..], b"\0\x01a\x01b", &[b'x'; 16 * 1024]] {
        let mut stream = http2(&gateway, &[]).await;
        stream
            .write_all(&frame(HEADERS, 0, 1, &block))
            .await
            .unwrap();
        let end = flood(stream, |_| {
            frame(CONTINUATION, 0, 1, continuation).repeat(10)
        })
        .await;
        assert!(end.is_some(), "GOAWAY");
    }
    gateway.is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_carry_nothing() {
    let gateway = Gateway::start(&[]).await;
    let floods = [
        ("data", frame(DATA, 0, 1, &[])),
        ("pings", frame(PING, 0, 0, &[0; 8])),
        ("pongs", frame(PING, ACK, 0, &[0; 8])),
        ("settings", frame(SETTINGS, 0, 0, &[])),
        (
            "settings with content",
            frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100].repeat(100)),
        ),
        ("priorities", frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 1])),
        ("windows", frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])),
        ("unknown frames", frame(0xbe, 0, 0, b"what?")),
    ];
    for (what, frame) in floods {
        let mut stream = http2(&gateway, &[]).await;
        // A stream that stays open, for those that belong to one.
        let open = frames::frame(HEADERS, END_HEADERS, 1, &call(REFLECT, &[]));
        stream.write_all(&open).await.unwrap();
        println!("{what}");
        flood(stream, |_| frame.repeat(100)).await;
    }
    gateway.is_well().await;
}

/// Their connections still count, or they would only have to connect again.
#[tokio::test(flavor = "multi_thread")]
async fn who_floods_again_and_again() {
    let gateway = Gateway::start(&[("MAX_CONNECTIONS_PER_ADDRESS", "21")]).await;
    let resets = |round| {
        let reset = frame(RST_STREAM, 0, 2 * round + 1, &[0, 0, 0, 8]);
        [request(2 * round + 1, WATCH), reset].concat()
    };
    flood(http2(&gateway, &[]).await, |_| frame(PING, 0, 0, &[0; 8])).await;
    // It had another one yet.
    flood(http2(&gateway, &[]).await, resets).await;
    let mut refused = gateway.connect().await;
    assert_eq!(
        refused.read(&mut [0]).await.unwrap_or(0),
        0,
        "closed at once"
    );
    // For a while.
    // tonic's client was seen to wait for ever for a connection that was closed at once.
    let answers = async || timeout(Duration::from_secs(5), gateway.answer()).await;
    until("it may come again", async || {
        matches!(answers().await, Ok(Ok(())))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_resets_provoked() {
    let gateway = Gateway::start(&[]).await;
    let stream = http2(&gateway, &[]).await;
    let end = flood(stream, |round| {
        let id = 2 * round + 1;
        let open = frame(HEADERS, END_HEADERS, id, &call(REFLECT, &[]));
        // More than a window may have is an error of this stream.
        [open, frame(WINDOW_UPDATE, 0, id, &[0x7f, 255, 255, 255])].concat()
    });
    assert_eq!(end.await, Some(ENHANCE_YOUR_CALM));
    gateway.is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_are_taken_back_at_once() {
    let gateway = Gateway::start(&[]).await;
    let reset = |id| frame(RST_STREAM, 0, id, &[0, 0, 0, 8]);
    let stream = http2(&gateway, &[]).await;
    let end = flood(stream, |round| {
        let ids = (0..100).map(|n| 2 * (100 * round + n) + 1);
        ids.flat_map(|id| [request(id, WATCH), reset(id)].concat())
            .collect()
    });
    assert_eq!(end.await, Some(ENHANCE_YOUR_CALM));
    gateway.is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_too_large() {
    let gateway = Gateway::start(&[]).await;
    let large = "x".repeat(15 * 1024);
    let mut stream = http2(&gateway, &[]).await;
    // 17 KiB, in two frames since one has no more than 16.
    let block = call(CHECK, &[("a", &large), ("b", &large[..2 * 1024])]);
    let (first, second) = block.split_at(16 * 1024);
    let sent = [
        frame(HEADERS, END_STREAM, 1, first),
        frame(CONTINUATION, END_HEADERS, 1, second),
    ];
    stream.write_all(&sent.concat()).await.unwrap();
    let answer = loop {
        let received = receive(&mut stream).await.unwrap();
        if received.stream == 1 {
            break received;
        }
    };
    assert_eq!(answer.kind, HEADERS);
    // ":status", whose place in the static table is 8, and "431" in Huffman's code.
    let status = [0x48, 0x83, 0x69, 0x90, 0xff];
    assert!(answer.payload.starts_with(&status), "{:x?}", answer.payload);

    let mut stream = gateway.connect().await;
    let request = format!("GET / HTTP/1.1\r\nhost: x\r\na: {large}\r\nb: {large}\r\n\r\n");
    let _ = stream.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer))
        .await
        .expect("it ends");
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"));
    gateway.is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_streams_on_one_connection() {
    let gateway = Gateway::start(&[]).await;
    let mut stream = http2(&gateway, &[]).await;
    let streams: Vec<_> = (0..10_000)
        .flat_map(|n| request(2 * n + 1, WATCH))
        .collect();
    let _ = stream.write_all(&streams).await;
    let mut opened = 0;
    let reading = async {
        while let Ok(received) = receive(&mut stream).await {
            opened += usize::from(received.kind == HEADERS);
        }
    };
    timeout(PATIENCE, reading)
        .await
        .expect("the connection ends");
    assert!(opened <= 256, "{opened}");
    gateway.is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_silent_connections() {
    let count = allow_files(5_000 + 500) - 500;
    let gateway = Gateway::start(&[("MAX_CONNECTIONS_PER_ADDRESS", "10000")]).await;
    let mut silent = Vec::new();
    for _ in 0..count {
        silent.push(gateway.connect().await);
    }
    gateway.is_well().await;
    let gone = async {
        for mut connection in silent {
            let _ = connection.read(&mut [0]).await;
        }
    };
    timeout(Duration::from_secs(35), gone)
        .await
        .expect("they are gone");
    gateway.is_well().await;
}

/// How many files this process may open, if it may as many as that.
fn allow_files(count: usize) -> usize {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit
        .maximum
        .map_or(Some(count as u64), |max| Some(max.min(count as u64)));
    let allowed = limit.current.unwrap() as usize;
    setrlimit(Resource::Nofile, limit).unwrap();
    allowed
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_does_not_take_all_the_room() {
    let gateway = Gateway::start(&[
        ("MAX_CONNECTIONS_PER_ADDRESS", "20"),
        ("MAX_CONNECTIONS", "30"),
    ]);
    let gateway = gateway.await;
    let mut connections = Vec::new();
    for _ in 0..20 {
        connections.push(http2(&gateway, &[]).await);
    }
    let mut one_more = gateway.connect().await;
    let read = timeout(PATIENCE, one_more.read(&mut [0]))
        .await
        .expect("it is closed");
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");

    // From another address of this machine.
    let other = tokio::net::TcpSocket::new_v4().unwrap();
    other.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut other = other.connect(gateway.address).await.unwrap();
    other
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    timeout(PATIENCE, other.read_to_end(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"));

    connections.clear();
    until("there is room again", async || gateway.open() < 20).await;
    gateway.is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_connections_than_there_is_room_for_wait() {
    let settings = [("MAX_CONNECTIONS", "10"), ("HEADER_TIMEOUT", "1s")];
    let gateway = Gateway::start(&settings).await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(gateway.connect().await);
    }
    until("the room is taken", async || gateway.open() >= 10).await;
    // Behind all of those.
    gateway.is_well().await;
}

/// Writes a byte now and then, until the connection ends.
async fn drip(mut stream: TcpStream, bytes: &[u8]) {
    let dripping = async {
        for byte in bytes.iter().cycle() {
            if stream.write_all(&[*byte]).await.is_err() {
                return;
            }
            let mut answer = [0; 1024];
            if let Ok(Ok(0) | Err(_)) =
                timeout(Duration::from_millis(100), stream.read(&mut answer)).await
            {
                return;
            }
        }
    };
    timeout(PATIENCE, dripping)
        .await
        .expect("the connection ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_ones() {
    let gateway = Gateway::start(&[("HEADER_TIMEOUT", "1s"), ("BODY_TIMEOUT", "1s")]).await;
    let begun = Instant::now();
    let post = "POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/grpc-web\r\n";
    let beginnings: [(&str, &[u8]); 6] = [
        ("", &[PREFACE, &[0; 100]].concat()),
        (
            "",
            b"GET / HTTP/1.1\r\nhost: x\r\nmore: and more, and more, and more\r\n",
        ),
        (post, b"more: and more\r\n"),
        (&format!("{post}content-length: 1000\r\n\r\n"), b"x"),
        (
            &format!("{post}transfer-encoding: chunked\r\n\r\n"),
            b"1\r\nx\r\n",
        ),
        // Half a frame, and no answer to pings.
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\0"),
    ];
    let mut dripping = JoinSet::new();
    for (beginning, bytes) in beginnings {
        let mut stream = gateway.connect().await;
        stream.write_all(beginning.as_bytes()).await.unwrap();
        let bytes = bytes.to_vec();
        dripping.spawn(async move { drip(stream, &bytes).await });
    }
    dripping.join_all().await;
    // Three and a half times what the settings say, as is 35 s of what they say otherwise; and a slow machine.
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
    gateway.is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_after_the_preface() {
    let gateway = Gateway::start(&[("HEADER_TIMEOUT", "1s")]).await;
    let mut silent = http2(&gateway, &[]).await;
    let mut answer = Vec::new();
    let read = timeout(PATIENCE, silent.read_to_end(&mut answer)).await;
    let _ = read.expect("the connection ends");
    gateway.is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_without_calls_and_old_ones_end_in_goaway() {
    for settings in [("IDLE_TIMEOUT", "1s"), ("MAX_CONNECTION_AGE", "1s")] {
        let gateway = Gateway::start(&[settings]).await;
        let mut stream = http2(&gateway, &[]).await;
        stream.write_all(&request(1, CHECK)).await.unwrap();
        let reading = async {
            while receive(&mut stream).await.unwrap().kind != GOAWAY {}
            // Who does not even answer the ping that comes with it is not waited for.
            while receive(&mut stream).await.is_ok() {}
        };
        timeout(PATIENCE, reading).await.expect("it ends");
        gateway.is_well().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_nobody_reads() {
    const INITIAL_WINDOW_SIZE: u16 = 4;
    let gateway = Gateway::start(&[("WRITE_TIMEOUT", "2s")]).await;
    let calls: Vec<_> = (0..200).flat_map(|n| whole(2 * n + 1, CHECK)).collect();
    // A window of nothing, and one that lets a part through.
    for window in [0, 3] {
        let mut stream = http2(&gateway, &[(INITIAL_WINDOW_SIZE, window)]).await;
        stream.write_all(&calls).await.unwrap();
        read_to_the_end(stream).await;
    }
    // Not even the connection is read.
    let mut stream = gateway.connect().await;
    let writing = async {
        while stream
            .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .is_ok()
        {}
    };
    timeout(PATIENCE, writing)
        .await
        .expect("the connection ends");
    let mut stream = http2(&gateway, &[]).await;
    let mut n = 0;
    let writing = async {
        loop {
            // Each is answered, whatever it asks for.
            let call = frame(
                HEADERS,
                END_HEADERS | END_STREAM,
                2 * n + 1,
                &call("/nothing", &[]),
            );
            n += 1;
            if stream.write_all(&call).await.is_err() {
                return;
            }
        }
    };
    timeout(PATIENCE, writing)
        .await
        .expect("the connection ends");
    gateway.is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_file_descriptors_left() {
    let mut gateway =
        Gateway::with_file_descriptors(64, &[("HEADER_TIMEOUT", "2s"), ("LOG", "warn")]).await;
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(gateway.connect().await);
    }
    let mut log = BufReader::new(gateway.process.stderr.take().unwrap()).lines();
    let noticed = async {
        while let Some(line) = log.next_line().await.unwrap() {
            if line.contains("no connection can be accepted") {
                return;
            }
        }
        panic!("it has ended");
    };
    timeout(PATIENCE, noticed).await.expect("none is left");
    // Behind all of those.
    gateway.is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_health_watches() {
    let gateway = Gateway::start(&[]).await;
    let mut connections = Vec::new();
    for _ in 0..5 {
        let mut stream = http2(&gateway, &[]).await;
        let calls: Vec<_> = (0..200).flat_map(|n| whole(2 * n + 1, WATCH)).collect();
        stream.write_all(&calls).await.unwrap();
        let mut answered = 0;
        while answered < 200 {
            let received = timeout(PATIENCE, receive(&mut stream))
                .await
                .expect("an answer");
            answered += usize::from(received.unwrap().kind == DATA);
        }
        connections.push(stream);
    }
    gateway.is_well().await;
    drop(connections);
}
