use std::{
    future::{Ready, ready},
    sync::Arc,
    task::{Context, Poll},
};

use futures::future::Either;
use http::{HeaderMap, Request, Response, header::AUTHORIZATION};
use orderflow_contract::status;
use orderflow_proto::descriptors;
use prost_reflect::MethodDescriptor;
use tonic::{Code, Status};
use tower::{Layer, Service};

use crate::{Audience, Caller, Denied, Expiry, KeyRing, Policy, Rule, Unprotected, Verifier};

/// Decides whether a call may be made.
pub struct Authorizer {
    /// Who may call what.
    pub policy: Policy,
    /// For users' tokens.
    pub users: Verifier,
    /// For services' tokens; without it there are none.
    pub services: Option<Verifier>,
}

impl Authorizer {
    /// What a service of ours checks: users' tokens against the ring, services' against the keys it allows.
    pub fn for_services(
        names: &[&str],
        also_public: impl IntoIterator<Item = &'static str>,
        users: KeyRing,
        services: KeyRing,
    ) -> Result<Self, Unprotected> {
        let ours = |m: &MethodDescriptor| names.contains(&m.parent_service().full_name());
        Ok(Self {
            policy: Policy::read(descriptors(), ours)?.and_public(also_public),
            users: Verifier::new(Audience::Users, users),
            services: Some(Verifier::new(Audience::Services, services)),
        })
    }

    /// The caller, where the method asks for one, and until when the token counts. On public methods a token is not even looked at: an expired one must not
    /// keep anybody from signing in.
    pub fn authorize(
        &self,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<Option<(Caller, Expiry)>, Denied> {
        let rule = self.policy.rule(path).ok_or(Denied::Unknown)?;
        let verifier = match rule {
            Rule::Public => return Ok(None),
            Rule::User | Rule::Role(_) => Some(&self.users),
            Rule::Service => self.services.as_ref(),
        };
        let verify = |token| match verifier?.verify(token) {
            Ok(verified) => Some(verified),
            Err(rejected) => {
                tracing::debug!(path, %rejected, "token refused");
                None
            }
        };
        let token = bearer(headers);
        // Before there are keys no token can be verified; called invalid, it would be thrown away for nothing.
        let by_user = matches!(rule, Rule::User | Rule::Role(_));
        if by_user && token.is_some() && !self.users.is_ready() {
            return Err(Denied::NotYet);
        }
        let verified = token.and_then(verify);
        rule.admits(verified.as_ref().map(|(caller, _)| caller))?;
        Ok(verified)
    }
}

/// The token of the only `authorization` header, if it is a bearer's.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    // With two of them it would be a matter of taste who calls.
    let (Some(header), None) = (all.next(), all.next()) else {
        return None;
    };
    let (scheme, token) = header.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

impl From<Denied> for Status {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Unknown => {
                status::error(Code::Unimplemented, "UNKNOWN_METHOD", "no such method")
            }
            Denied::Unauthenticated => status::error(
                Code::Unauthenticated,
                "TOKEN_REQUIRED",
                "a valid token is required: authorization: Bearer <access_token>",
            ),
            Denied::NotYet => {
                status::unavailable("KEYS_UNKNOWN", "tokens cannot be verified at the moment")
            }
            Denied::Forbidden => status::error(
                Code::PermissionDenied,
                "ROLE_REQUIRED",
                "this takes another role",
            ),
        }
    }
}

/// The layer that lets only authorized calls through, with their [`Caller`] and its [`Expiry`] as extensions.
#[derive(Clone)]
pub struct Authorize(pub Arc<Authorizer>);

impl<S> Layer<S> for Authorize {
    type Service = Authorized<S>;

    fn layer(&self, inner: S) -> Authorized<S> {
        Authorized {
            inner,
            authorizer: self.0.clone(),
        }
    }
}

/// The service behind [`Authorize`].
#[derive(Clone)]
pub struct Authorized<S> {
    inner: S,
    authorizer: Arc<Authorizer>,
}

impl<S, B, R> Service<Request<B>> for Authorized<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Default,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<Response<R>, S::Error>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        match self
            .authorizer
            .authorize(request.uri().path(), request.headers())
        {
            Ok(verified) => {
                if let Some((caller, expiry)) = verified {
                    request.extensions_mut().insert(caller);
                    request.extensions_mut().insert(expiry);
                }
                Either::Left(self.inner.call(request))
            }
            Err(denied) => Either::Right(ready(Ok(Status::from(denied).into_http()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        let pairs = values.iter().map(|v| (AUTHORIZATION, v.parse().unwrap()));
        pairs.collect()
    }

    #[test]
    fn one_bearer_and_nothing_else() {
        assert_eq!(bearer(&headers(&["Bearer t"])), Some("t"));
        assert_eq!(bearer(&headers(&["bearer t"])), Some("t"));
        for wrong in [
            &[][..],
            &[""],
            &["t"],
            &["Basic t"],
            &["Bearer t", "Bearer t"],
        ] {
            assert_eq!(bearer(&headers(wrong)), None, "{wrong:?}");
        }
    }
}
