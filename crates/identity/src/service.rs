//! Services among themselves: each signs with its own key, and lists whose it accepts.

use std::{
    str::FromStr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use orderflow_proto::user::v1::{GetKeysRequest, identity_service_client::IdentityServiceClient};
use orderflow_upstream::Upstream;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::Interceptor,
};

use crate::{Claims, KeyRing, KeySet, Signer, WeakSecret, keys::PublicKey};

const LIFETIME: Duration = Duration::from_secs(300);
const REFRESH_EVERY: Duration = Duration::from_secs(60);
const AT_MOST_EVERY: Duration = Duration::from_secs(1);

/// A service as it presents itself to others. As an interceptor it puts its token on every call.
#[derive(Clone)]
pub struct ServiceIdentity(Arc<Inner>);

struct Inner {
    name: &'static str,
    signer: Signer,
    token: Mutex<Option<(MetadataValue<Ascii>, Instant)>>,
}

impl ServiceIdentity {
    /// The service `name`, whose key comes from its `SERVICE_KEY`.
    pub fn new(name: &'static str, secret: &str) -> Result<Self, WeakSecret> {
        Ok(Self(Arc::new(Inner {
            name,
            signer: signer(secret)?,
            token: Mutex::default(),
        })))
    }

    fn token(&self) -> MetadataValue<Ascii> {
        let mut token = self.0.token.lock().expect("no holder of the lock panics");
        match &*token {
            Some((value, made)) if made.elapsed() < LIFETIME / 2 => value.clone(),
            _ => {
                let text = Claims::service(self.0.name, LIFETIME).sign(&self.0.signer);
                let value = format!("Bearer {text}");
                let value: MetadataValue<Ascii> = value.parse().expect("a token is ASCII");
                *token = Some((value.clone(), Instant::now()));
                value
            }
        }
    }
}

impl Interceptor for ServiceIdentity {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.token());
        Ok(request)
    }
}

/// The public key that belongs to a `SERVICE_KEY`: what others list in `SERVICE_KEYS_ALLOWED`.
pub fn public_key(secret: &str) -> Result<String, WeakSecret> {
    Ok(signer(secret)?.public_key().to_string())
}

fn signer(secret: &str) -> Result<Signer, WeakSecret> {
    Signer::derive(secret, "service")
}

/// The services whose calls are accepted, by their public keys, separated by commas.
#[derive(Debug, Clone, Default)]
pub struct AllowedServices(KeySet);

impl AllowedServices {
    /// The keys to verify their tokens with.
    pub fn keys(&self) -> KeyRing {
        KeyRing::new(self.0.clone())
    }
}

impl FromStr for AllowedServices {
    type Err = crate::MalformedKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let keys = text.split(',').map(str::trim).filter(|key| !key.is_empty());
        let keys: Result<Vec<_>, _> = keys.map(PublicKey::parse).collect();
        Ok(Self(KeySet::new(keys?)))
    }
}

/// Keeps the ring at the keys that the user service has in force: asks for them at once, every minute, and when a token
/// comes whose key is not known, at most once a second.
pub async fn follow_keys(
    ring: KeyRing,
    user_service: Upstream,
    identity: ServiceIdentity,
    shutdown: CancellationToken,
) {
    let mut client = IdentityServiceClient::with_interceptor(user_service, identity);
    let follow = async {
        loop {
            let mut request = Request::new(GetKeysRequest {});
            request.set_timeout(Duration::from_secs(2));
            match client.get_keys(request).await {
                Ok(response) => match KeySet::from_json(&response.get_ref().jwks) {
                    Ok(keys) => ring.replace(keys),
                    Err(error) => tracing::error!(%error, "the user service sent a broken key set"),
                },
                // The keys at hand stay in force: the user service may be away while tokens are verified.
                Err(status) => {
                    tracing::warn!(code = %status.code(), "no keys from the user service")
                }
            }
            if ring.is_empty() {
                sleep(Duration::from_millis(200)).await;
                continue;
            }
            sleep(AT_MOST_EVERY).await;
            tokio::select! {
                () = sleep(REFRESH_EVERY) => {}
                () = ring.missed() => {}
            }
        }
    };
    tokio::select! {
        () = follow => {}
        () = shutdown.cancelled() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Audience, Caller, Rejected, Verifier};

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn a_listed_service_is_accepted_another_is_not() {
        let allowed: AllowedServices = public_key(SECRET).unwrap().parse().unwrap();
        let verifier = Verifier::new(Audience::Services, allowed.keys());
        let verify = |secret| {
            let mut identity = ServiceIdentity::new("order", secret).unwrap();
            let request = identity.call(Request::new(())).unwrap();
            let header = request
                .metadata()
                .get("authorization")
                .unwrap()
                .to_str()
                .unwrap();
            let verified = verifier.verify(header.strip_prefix("Bearer ").unwrap());
            verified.map(|(caller, _)| caller)
        };
        assert_eq!(verify(SECRET), Ok(Caller::Service("order".to_owned())));
        assert_eq!(
            verify("fedcba9876543210fedcba9876543210"),
            Err(Rejected::UnknownKey)
        );
    }

    #[test]
    fn lists_of_keys() {
        let key = public_key(SECRET).unwrap();
        assert!(format!("{key}, {key}").parse::<AllowedServices>().is_ok());
        assert!("".parse::<AllowedServices>().unwrap().keys().is_empty());
        assert!("nonsense".parse::<AllowedServices>().is_err());
    }
}
