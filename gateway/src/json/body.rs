//! The body of a request, read to its end.

use axum::body::Body;
use bytes::BytesMut;
use http::{
    HeaderMap, HeaderName, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
};
use http_body_util::BodyExt;
use orderflow_contract::status;
use tonic::{Code, Status};

use super::Refused;
use crate::limit::MAX_MESSAGE_BYTES;

/// So much of a body that is too large is read and thrown away, so that its sender comes to read the answer.
const MAX_WASTED_BYTES: usize = 4 * MAX_MESSAGE_BYTES;

/// All of it, if it is small enough, and JSON by its headers. An empty one needs no headers.
pub(crate) async fn read(headers: &HeaderMap, mut body: Body) -> Result<BytesMut, Refused> {
    let mut bytes = BytesMut::new();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| broken(&error))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        length += data.len();
        if length <= MAX_MESSAGE_BYTES {
            bytes.extend_from_slice(&data);
        } else if length > MAX_WASTED_BYTES {
            break;
        }
    }
    if length > MAX_MESSAGE_BYTES {
        return Err(too_large());
    }
    if !bytes.is_empty() {
        is_json(headers)?;
    }
    Ok(bytes)
}

fn is_json(headers: &HeaderMap) -> Result<(), Refused> {
    // The first of the parts that `;` separates: what follows says nothing that JSON does not.
    let named = |header: &HeaderName| {
        let value = headers.get(header)?.to_str().unwrap_or_default();
        Some(value.split(';').next().unwrap_or_default().trim())
    };
    let is = |value: Option<&str>, name| value.is_some_and(|v| v.eq_ignore_ascii_case(name));
    if !is(named(&CONTENT_TYPE), "application/json") {
        return Err(unsupported("the content type must be application/json"));
    }
    let encoding = named(&CONTENT_ENCODING);
    if encoding.is_some() && !is(encoding, "identity") {
        return Err(unsupported("the body must not be compressed"));
    }
    Ok(())
}

fn unsupported(message: &str) -> Refused {
    Refused {
        http: StatusCode::UNSUPPORTED_MEDIA_TYPE,
        status: status::error(Code::InvalidArgument, "UNSUPPORTED_MEDIA_TYPE", message),
    }
}

fn too_large() -> Refused {
    let message = format!("a body may have {MAX_MESSAGE_BYTES} bytes");
    Refused {
        http: StatusCode::PAYLOAD_TOO_LARGE,
        status: status::error(Code::ResourceExhausted, "MESSAGE_TOO_LARGE", message),
    }
}

fn broken(cause: &axum::Error) -> Status {
    tracing::debug!(cause = status::chain(cause), "broken request");
    status::error(Code::InvalidArgument, "BROKEN_BODY", "the body broke off")
}
