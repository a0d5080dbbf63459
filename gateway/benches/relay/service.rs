//! The service behind the relays: as little work as an answer can take, so that the relays are what is measured.

use std::{net::SocketAddr, process::ExitCode};

use bytes::{BufMut, Bytes, BytesMut};
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Request, Response};
use orderflow_proto::user::v1::GetKeysResponse;
use prost::Message;
use tokio::net::{TcpListener, TcpStream};

pub(crate) fn run(address: SocketAddr, answer_bytes: usize) -> ExitCode {
    let answers = Answers {
        // A field that no message has: clients skip it.
        order: framed(
            &[
                &[0xfa, 0x7f][..],
                &varint(answer_bytes),
                &vec![b'x'; answer_bytes],
            ]
            .concat(),
        ),
        keys: framed(
            &GetKeysResponse {
                jwks: super::jwks(),
            }
            .encode_to_vec(),
        ),
        health: framed(&[8, 1]),
    };
    super::one_thread().block_on(async {
        let listener = TcpListener::bind(address).await.expect("a free address");
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                continue;
            };
            tokio::spawn(serve(stream, answers.clone()));
        }
    })
}

#[derive(Clone)]
struct Answers {
    order: Bytes,
    keys: Bytes,
    health: Bytes,
}

async fn serve(stream: TcpStream, answers: Answers) -> Result<(), h2::Error> {
    let _ = stream.set_nodelay(true);
    let mut connection = h2::server::Builder::new()
        .initial_window_size(1 << 20)
        .initial_connection_window_size(1 << 24)
        .handshake(stream)
        .await?;
    while let Some(call) = connection.accept().await {
        let (request, respond) = call?;
        let path = request.uri().path();
        let message = if path.ends_with("/GetKeys") {
            answers.keys.clone()
        } else if path.starts_with("/grpc.health") {
            answers.health.clone()
        } else {
            answers.order.clone()
        };
        tokio::spawn(answer(request, respond, message));
    }
    Ok(())
}

async fn answer(
    request: Request<h2::RecvStream>,
    mut respond: SendResponse<Bytes>,
    message: Bytes,
) -> Result<(), h2::Error> {
    let mut body = request.into_body();
    while let Some(data) = body.data().await {
        let length = data?.len();
        body.flow_control().release_capacity(length)?;
    }
    let response = Response::builder().header("content-type", "application/grpc");
    let response = response.body(()).expect("it is one");
    let mut stream = respond.send_response(response, false)?;
    stream.send_data(message, false)?;
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    stream.send_trailers(trailers)
}

/// A message as gRPC puts it on the wire.
pub(crate) fn framed(message: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(5 + message.len());
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(message.len()).expect("a short message"));
    bytes.put_slice(message);
    bytes.freeze()
}

fn varint(number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::encode_varint(number as u64, &mut bytes);
    bytes
}
