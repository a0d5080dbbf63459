//! Input that nobody sends by mistake, at every method there is: an answer that is definite, and nothing broken by it.

use std::time::Duration;

use orderflow_identity::{Claims, Signer};
use orderflow_proto::{
    auth,
    options::v1::Access,
    user::v1::{
        GetMeRequest, LoginRequest, RegisterRequest, user_service_client::UserServiceClient,
    },
};
use orderflow_testkit::{Person, Refusal, World};
use prost::Message;
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor, Value,
};
use tonic::{Code, Status};

use crate::wire::{ADMITTED, Caller, Headers, Place, bearer, methods, path};

/// Credentials that are let in at a method, wherever it can be called with them.
fn credentials(world: &World, person: &Person, method: &MethodDescriptor) -> (Headers, Vec<Place>) {
    let is_internal = auth(method).unwrap().access() == Access::Service;
    let headers = if is_internal {
        let signer = Signer::derive(&world.settings["ORDER_SERVICE_KEY"], "service").unwrap();
        bearer(&Claims::service("order", Duration::from_secs(600)).sign(&signer))
    } else {
        bearer(&person.token)
    };
    let places = Place::ALL
        .into_iter()
        .filter(|place| place.has(method) && !(is_internal && matches!(place, Place::Gateway(_))));
    (headers, places.collect())
}

/// What a caller did wrong is said to be so. INTERNAL, UNKNOWN and UNAVAILABLE would mean that something broke.
#[track_caller]
fn assert_definite(status: &Status, context: &str) {
    let broken = [
        Code::Internal,
        Code::Unknown,
        Code::Unavailable,
        Code::DeadlineExceeded,
        Code::Cancelled,
        Code::DataLoss,
        Code::Aborted,
    ];
    assert!(!broken.contains(&status.code()), "{context}: {status:?}");
    if status.code() != Code::Ok {
        assert_ne!(Refusal::from(status).reason, "", "{context}: {status:?}");
    }
}

/// The same bytes in each run.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    fn bytes(&mut self) -> Vec<u8> {
        let length = self.below(200);
        (0..length).map(|_| self.next().to_le_bytes()[0]).collect()
    }

    /// A few bytes changed, inserted, or cut off.
    fn spoil(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        for _ in 0..=self.below(4) {
            if bytes.is_empty() {
                return self.bytes();
            }
            let at = self.below(bytes.len());
            match self.below(4) {
                0 => bytes[at] ^= 1 << self.below(8),
                1 => bytes[at] = 0xff,
                2 => bytes.insert(at, self.next().to_le_bytes()[0]),
                _ => bytes.truncate(at),
            }
        }
        bytes
    }
}

/// A message with this text in each of its text fields, and something in every other one.
fn filled(descriptor: &MessageDescriptor, text: &str, depth: usize) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    for field in descriptor
        .fields()
        .filter(|field| depth < 4 && !field.is_map())
    {
        let value = value(&field, text, depth);
        let value = if field.is_list() {
            Value::List(vec![value])
        } else {
            value
        };
        message.set_field(&field, value);
    }
    message
}

fn value(field: &FieldDescriptor, text: &str, depth: usize) -> Value {
    match field.kind() {
        Kind::String => Value::String(text.to_owned()),
        Kind::Bytes => Value::Bytes(text.as_bytes().to_vec().into()),
        Kind::Message(inner) => Value::Message(filled(&inner, text, depth + 1)),
        Kind::Enum(_) => Value::EnumNumber(1),
        Kind::Bool => Value::Bool(true),
        Kind::Double => Value::F64(1.0),
        Kind::Float => Value::F32(1.0),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(1),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(1),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(1),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(1),
    }
}

/// The message with one text field alone, for each text field.
fn one_at_a_time(descriptor: &MessageDescriptor, text: &str) -> Vec<DynamicMessage> {
    let mut messages = Vec::new();
    for field in descriptor.fields().filter(|field| !field.is_map()) {
        let values = match field.kind() {
            Kind::String => vec![Value::String(text.to_owned())],
            Kind::Message(inner) if inner.full_name() != descriptor.full_name() => {
                one_at_a_time(&inner, text)
                    .into_iter()
                    .map(Value::Message)
                    .collect()
            }
            _ => vec![],
        };
        for value in values {
            let value = if field.is_list() {
                Value::List(vec![value])
            } else {
                value
            };
            let mut message = DynamicMessage::new(descriptor.clone());
            message.set_field(&field, value);
            messages.push(message);
        }
    }
    messages
}

/// Texts that some field takes, and such as none does.
const TEXTS: [&str; 16] = [
    "",
    " ",
    "Tea glass",
    "TRY",
    "ada@example.com",
    "correct horse",
    "00000000000000000000000000000000",
    "0123456789ABCDEF0123456789ABCDEF",
    "2026-11-27",
    "0000-02-30",
    "create_time desc",
    "price",
    "relevance",
    "price.minor_units",
    "\u{7f}\u{0}\u{202e}",
    "\u{10ffff}ß",
];

/// A message with anything in it that its fields can hold: at the edges, beyond them, and what is right.
fn any(noise: &mut Noise, descriptor: &MessageDescriptor, depth: usize) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    for field in descriptor.fields().filter(|_| depth < 4) {
        let count = if field.is_list() {
            [0, 1, 2, 101][noise.below(4)]
        } else {
            noise.below(3).min(1)
        };
        let mut values: Vec<_> = (0..count)
            .map(|_| any_value(noise, &field, depth))
            .collect();
        if field.is_list() {
            message.set_field(&field, Value::List(values));
        } else if let Some(value) = values.pop() {
            message.set_field(&field, value);
        }
    }
    message
}

fn any_value(noise: &mut Noise, field: &FieldDescriptor, depth: usize) -> Value {
    const NUMBERS: [i64; 10] = [
        0,
        1,
        -1,
        10_000,
        10_001,
        1_000_000_000_000,
        i32::MAX as i64,
        i32::MIN as i64,
        i64::MAX,
        i64::MIN,
    ];
    let number = NUMBERS[noise.below(NUMBERS.len())];
    match field.kind() {
        Kind::String if noise.below(8) == 0 => Value::String("ç".repeat(noise.below(6_000))),
        Kind::String => Value::String(TEXTS[noise.below(TEXTS.len())].to_owned()),
        Kind::Message(inner) => Value::Message(any(noise, &inner, depth + 1)),
        Kind::Enum(_) => Value::EnumNumber([0, 1, 2, 3, -1, i32::MAX][noise.below(6)]),
        Kind::Bool => Value::Bool(noise.below(2) == 0),
        Kind::Int32 => Value::I32(i32::try_from(number).unwrap_or(i32::MIN)),
        Kind::Int64 => Value::I64(number),
        _ => value(field, "", depth),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_message_break_nothing() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let caller = Caller::new(&world);
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    let mut malformed = 0;
    for method in methods() {
        let (headers, places) = credentials(&world, &ada, &method);
        let whole = filled(&method.input(), "text", 0).encode_to_vec();
        for n in 0..30 {
            let bytes = if n % 2 == 0 {
                noise.bytes()
            } else {
                noise.spoil(whole.clone())
            };
            let place = places[n % places.len()];
            let status = caller.call(place, &path(&method), &headers, &bytes).await;
            assert_definite(
                &status,
                &format!("{} at {place:?}: {bytes:?}", method.full_name()),
            );
            malformed += usize::from(Refusal::from(&status).reason == ADMITTED);
        }
    }
    assert!(malformed > 200, "most are no messages: {malformed}");
    assert!(ada.users().get_me(GetMeRequest {}).await.is_ok());
}

/// `ORDERFLOW_FUZZ_CASES` says how many messages each method gets, and `ORDERFLOW_FUZZ_SEED` which.
#[tokio::test(flavor = "multi_thread")]
async fn any_message_is_taken_or_refused() {
    let setting = |name, default| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let world = World::start().await;
    let ada = world.person("ada").await;
    let caller = Caller::new(&world);
    let mut noise = Noise(setting("ORDERFLOW_FUZZ_SEED", 0x9e37_79b9_7f4a_7c15));
    let mut taken = 0;
    for method in methods() {
        let (headers, places) = credentials(&world, &ada, &method);
        for n in 0..setting("ORDERFLOW_FUZZ_CASES", 20) {
            let message = any(&mut noise, &method.input(), 0);
            let place = places[usize::try_from(n).unwrap() % places.len()];
            let bytes = message.encode_to_vec();
            let status = caller.call(place, &path(&method), &headers, &bytes).await;
            assert_definite(
                &status,
                &format!("{} at {place:?}: {message:?}", method.full_name()),
            );
            taken += usize::from(status.code() == Code::Ok);
        }
    }
    assert!(taken > 20, "some are right: {taken}");
    assert!(ada.users().get_me(GetMeRequest {}).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_and_control_characters_are_text_in_every_field() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let caller = Caller::new(&world);
    for text in [
        "$gt",
        "$where",
        "{\"$gt\": \"\"}",
        "{\"$where\": \"sleep(10000)\"}",
        "a.b.$c",
        "..",
        "a\0b",
        "'; return true; //",
        "(a+)+$",
        "\r\nINFO forged",
        "\u{202e}gnp.exe\u{2066}",
        "\u{feff}",
        "%00%0d%0a",
    ] {
        for method in methods() {
            let (headers, places) = credentials(&world, &ada, &method);
            let mut messages = one_at_a_time(&method.input(), text);
            messages.push(filled(&method.input(), text, 0));
            for (n, message) in messages.into_iter().enumerate() {
                let place = places[n % places.len()];
                let bytes = message.encode_to_vec();
                let status = caller.call(place, &path(&method), &headers, &bytes).await;
                assert_definite(
                    &status,
                    &format!("{} at {place:?}: {message:?}", method.full_name()),
                );
            }
        }
    }
}

#[tokio::test]
async fn operators_in_credentials_are_text() {
    let world = World::start().await;
    let mut users = UserServiceClient::new(world.gateway().await);
    let request = RegisterRequest {
        name: "$where".to_owned(),
        email: "ada@example.com".to_owned(),
        password: "{\"$gt\": \"\"}".to_owned(),
    };
    let user = users
        .register(request)
        .await
        .unwrap()
        .into_inner()
        .user
        .unwrap();
    assert_eq!(user.name, "$where");
    let mut login = async |email: &str, password: &str| {
        let (email, password) = (email.to_owned(), password.to_owned());
        users
            .login(LoginRequest { email, password })
            .await
            .map_err(|status| status.code())
    };
    assert!(login("ada@example.com", "{\"$gt\": \"\"}").await.is_ok());
    assert_eq!(
        login("ada@example.com", "{\"$ne\": \"\"}")
            .await
            .unwrap_err(),
        Code::Unauthenticated
    );
    assert_eq!(
        login("{\"$gt\": \"\"}", "{\"$gt\": \"\"}")
            .await
            .unwrap_err(),
        Code::InvalidArgument
    );
    assert_eq!(
        login("a*@example.com", "{\"$gt\": \"\"}")
            .await
            .unwrap_err(),
        Code::Unauthenticated
    );
}

/// What is not unpacked cannot explode.
#[tokio::test(flavor = "multi_thread")]
async fn compressed_messages_are_not_taken() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let caller = Caller::new(&world);
    // A flag that says "compressed", and the beginning of a gzip stream.
    let body = [&[1, 0, 0, 0, 10][..], b"\x1f\x8b\x08\0\0\0\0\0\0\x03"].concat();
    for method in methods() {
        let (headers, places) = credentials(&world, &ada, &method);
        for place in places {
            let code = async |encoding: Option<&'static str>| {
                let encoding = encoding.map(|name| ("grpc-encoding", name.parse().unwrap()));
                let headers = headers.iter().cloned().chain(encoding).collect();
                let status = caller
                    .send(place, &path(&method), &headers, body.clone())
                    .await;
                status.code()
            };
            for encoding in ["gzip", "deflate", "zstd", "x"] {
                assert_eq!(
                    code(Some(encoding)).await,
                    Code::Unimplemented,
                    "{place:?} {encoding}"
                );
            }
            assert_eq!(code(None).await, Code::InvalidArgument, "{place:?}");
        }
    }
}
