use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, Header, Validation, decode, decode_header, encode};
use orderflow_contract::Id;
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};

use crate::{Caller, Expiry, KeyRing, Signer, User};

/// How far the clocks of two machines may differ.
const LEEWAY: Duration = Duration::from_secs(60);
/// Longer than any token of ours.
const MAX_LENGTH: usize = 4 * 1024;
/// How many verified tokens are remembered.
const REMEMBERED: usize = 16 * 1024;

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// People: what login gives out.
    Users,
    /// Services among themselves.
    Services,
}

impl Audience {
    fn name(self) -> &'static str {
        match self {
            Self::Users => "orderflow",
            Self::Services => "orderflow-services",
        }
    }
}

/// The content of a token. Strictly typed: a claim of another type is as good as none.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Claims {
    iss: String,
    aud: String,
    sub: String,
    exp: u64,
    iat: u64,
    nbf: u64,
    jti: Id,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sid: Option<Id>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    roles: Vec<String>,
}

impl Claims {
    /// Claims for a person, from now on.
    pub fn user(user: &User, lifetime: Duration) -> Self {
        Self {
            sid: Some(user.session_id),
            roles: user.roles.clone(),
            ..Self::new(Audience::Users, user.id.to_string(), lifetime)
        }
    }

    /// Claims for a service, from now on.
    pub fn service(name: &str, lifetime: Duration) -> Self {
        Self::new(Audience::Services, name.to_owned(), lifetime)
    }

    fn new(audience: Audience, sub: String, lifetime: Duration) -> Self {
        let now = now();
        Self {
            iss: audience.name().to_owned(),
            aud: audience.name().to_owned(),
            sub,
            exp: now + lifetime.as_secs(),
            iat: now,
            nbf: now,
            jti: Id::random(),
            sid: None,
            roles: Vec::new(),
        }
    }

    /// The token that says so.
    pub fn sign(&self, signer: &Signer) -> String {
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(signer.public_key().kid().to_owned());
        encode(&header, self, signer.encoding_key()).expect("an Ed25519 key signs anything")
    }

    fn caller(self, audience: Audience) -> Option<Caller> {
        Some(match audience {
            Audience::Services => Caller::Service(self.sub),
            Audience::Users => Caller::User(User {
                id: self.sub.parse().ok()?,
                roles: self.roles,
                session_id: self.sid?,
            }),
        })
    }
}

/// Why a token does not count. For the log; callers are told no more than that it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// Not a token of ours, or changed.
    #[error("the token is not valid")]
    Invalid,
    /// It was one.
    #[error("the token has expired")]
    Expired,
    /// Signed with a key that is not in force, or not yet known here.
    #[error("the token is signed with an unknown key")]
    UnknownKey,
}

/// Verifies tokens of one audience.
pub struct Verifier {
    audience: Audience,
    keys: KeyRing,
    validation: Validation,
    /// Verified tokens: the signature need not be checked again while the keys are the same.
    remembered: Cache<String, Verified>,
}

#[derive(Clone)]
struct Verified {
    caller: Caller,
    expiry: Expiry,
    generation: u64,
}

impl Verifier {
    /// For tokens of this audience, signed with one of these keys.
    pub fn new(audience: Audience, keys: KeyRing) -> Self {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.leeway = LEEWAY.as_secs();
        validation.validate_nbf = true;
        validation.set_audience(&[audience.name()]);
        validation.set_issuer(&[audience.name()]);
        // What is not required is not checked when it is missing or of a wrong type.
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        Self {
            audience,
            keys,
            validation,
            remembered: Cache::new(REMEMBERED),
        }
    }

    /// True once there are keys to verify with.
    pub fn is_ready(&self) -> bool {
        !self.keys.is_empty()
    }

    /// Who holds this token, and until when it counts.
    pub fn verify(&self, token: &str) -> Result<(Caller, Expiry), Rejected> {
        let generation = self.keys.generation();
        let known = self.remembered.get(token);
        if let Some(verified) = known.filter(|known| known.generation == generation) {
            return if verified.expiry.0.saturating_add(LEEWAY.as_secs()) < now() {
                self.remembered.remove(token);
                Err(Rejected::Expired)
            } else {
                Ok((verified.caller, verified.expiry))
            };
        }
        let verified = self.check(token, generation)?;
        self.remembered.insert(token.to_owned(), verified.clone());
        Ok((verified.caller, verified.expiry))
    }

    fn check(&self, token: &str, generation: u64) -> Result<Verified, Rejected> {
        use jsonwebtoken::errors::ErrorKind;
        if token.len() > MAX_LENGTH {
            return Err(Rejected::Invalid);
        }
        let header = decode_header(token).map_err(|_| Rejected::Invalid)?;
        // Extensions that must be understood; none is understood here. Keys within a token (jwk, jku, x5u) are not
        // looked at: only the kid chooses, and only among the keys in force.
        if header.crit.is_some() || header.alg != Algorithm::EdDSA {
            return Err(Rejected::Invalid);
        }
        let kid = header.kid.ok_or(Rejected::Invalid)?;
        let key = self.keys.find(&kid).ok_or(Rejected::UnknownKey)?;
        let claims = decode::<Claims>(token, &key, &self.validation)
            .map_err(|error| match error.kind() {
                ErrorKind::ExpiredSignature => Rejected::Expired,
                _ => Rejected::Invalid,
            })?
            .claims;
        let expiry = Expiry(claims.exp);
        let caller = claims.caller(self.audience).ok_or(Rejected::Invalid)?;
        Ok(Verified {
            caller,
            expiry,
            generation,
        })
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |duration| duration.as_secs())
}

#[cfg(test)]
mod tests {
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::KeySet;

    const HOUR: Duration = Duration::from_secs(3600);

    fn any_json() -> impl Strategy<Value = Value> {
        let word = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            (now() - 100..now() + 100).prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            Just(json!("orderflow")),
            "[0-9a-f]{32}".prop_map(Value::from),
        ];
        word.prop_recursive(2, 8, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map(".*", inner, 0..4)
                    .prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_text_is_a_token(
            text in "[A-Za-z0-9_-]*\\.[A-Za-z0-9_-]*\\.[A-Za-z0-9_-]*|.*",
            header in any_json(),
            claims in any_json(),
        ) {
            let signer = signer("user");
            let verifier = verifier(&signer);
            prop_assert!(verifier.verify(&text).is_err());
            let part = |json: &Value| BASE64_URL_SAFE_NO_PAD.encode(json.to_string());
            let token = format!("{}.{}.{text}", part(&header), part(&claims));
            prop_assert!(verifier.verify(&token).is_err());
        }

        /// Whatever is signed with the right key: it counts only if all of it is right.
        #[test]
        fn signed_claims_count_if_they_are_right(
            claim in prop::sample::select(&["iss", "aud", "sub", "exp", "nbf", "iat", "jti", "sid", "roles", "more"][..]),
            value in any_json(),
        ) {
            let signer = signer("user");
            let mut claims = claims();
            claims[claim] = value.clone();
            let is_right = match claim {
                "iss" | "aud" => value == "orderflow",
                "sub" | "jti" | "sid" => value.as_str().is_some_and(|id| id.parse::<Id>().is_ok()),
                "exp" => value.as_u64().is_some_and(|time| time > now() - LEEWAY.as_secs() - 2),
                "nbf" => value.as_u64().is_some_and(|time| time <= now() + LEEWAY.as_secs()),
                "iat" => value.is_u64(),
                "roles" => value.as_array().is_some_and(|roles| roles.iter().all(Value::is_string)),
                _ => true,
            };
            let verified = verifier(&signer).verify(&forged(&signer, &claims, |_| {}));
            prop_assert!(verified.is_err() || is_right, "{claim} = {value}");
        }
    }

    fn signer(purpose: &str) -> Signer {
        Signer::derive("0123456789abcdef0123456789abcdef", purpose).unwrap()
    }

    fn verifier(signer: &Signer) -> Verifier {
        let keys = KeyRing::new(KeySet::new([signer.public_key().clone()]));
        Verifier::new(Audience::Users, keys)
    }

    fn user() -> User {
        User {
            id: Id::random(),
            roles: vec!["admin".to_owned()],
            session_id: Id::random(),
        }
    }

    /// A token with claims, and a header, of one's own.
    fn forged(signer: &Signer, claims: &Value, change: impl FnOnce(&mut Header)) -> String {
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(signer.public_key().kid().to_owned());
        change(&mut header);
        encode(&header, claims, signer.encoding_key()).unwrap()
    }

    fn claims() -> Value {
        serde_json::to_value(Claims::user(&user(), HOUR)).unwrap()
    }

    #[test]
    fn a_token_names_its_user_again_and_again() {
        let (signer, user) = (signer("user"), user());
        let token = Claims::user(&user, HOUR).sign(&signer);
        let verifier = verifier(&signer);
        for _ in 0..2 {
            let (caller, expiry) = verifier.verify(&token).unwrap();
            assert_eq!(caller, Caller::User(user.clone()));
            assert!(expiry.left() <= HOUR && expiry.left() > HOUR / 2);
        }
    }

    #[test]
    fn claims_that_are_missing_or_wrong_are_refused() {
        let signer = signer("user");
        let verifier = verifier(&signer);
        assert!(verifier.verify(&forged(&signer, &claims(), |_| {})).is_ok());
        for claim in ["iss", "aud", "sub", "exp", "nbf", "iat", "jti", "sid"] {
            for wrong in [
                None,
                Some(json!(["orderflow"])),
                Some(json!("x")),
                Some(json!(1e300)),
            ] {
                let mut claims = claims();
                match &wrong {
                    None => _ = claims.as_object_mut().unwrap().remove(claim),
                    Some(wrong) => claims[claim] = wrong.clone(),
                }
                let token = forged(&signer, &claims, |_| {});
                assert!(verifier.verify(&token).is_err(), "{claim} = {wrong:?}");
            }
        }
    }

    #[test]
    fn a_token_lives_from_nbf_to_exp_give_or_take_a_minute() {
        let signer = signer("user");
        let verifier = verifier(&signer);
        let verify = |claim: &str, time: u64| {
            let mut claims = claims();
            claims[claim] = json!(time);
            verifier.verify(&forged(&signer, &claims, |_| {})).map(drop)
        };
        assert_eq!(verify("exp", now() - 30), Ok(()));
        assert_eq!(verify("exp", now() - 120), Err(Rejected::Expired));
        assert_eq!(verify("nbf", now() + 30), Ok(()));
        assert_eq!(verify("nbf", now() + 120), Err(Rejected::Invalid));
    }

    #[test]
    fn a_token_for_all_time_may_come_again() {
        let signer = signer("user");
        let verifier = verifier(&signer);
        let mut claims = claims();
        claims["exp"] = json!(u64::MAX);
        let token = forged(&signer, &claims, |_| {});
        assert_eq!(verifier.verify(&token), verifier.verify(&token));
    }

    #[test]
    fn only_a_signature_with_a_known_key_counts() {
        let signer = signer("user");
        let verifier = verifier(&signer);
        let token = Claims::user(&user(), HOUR).sign(&signer);
        let (content, signature) = token.rsplit_once('.').unwrap();
        let (_, payload) = content.split_once('.').unwrap();

        let stranger = Signer::derive("fedcba9876543210fedcba9876543210", "user").unwrap();
        let by_stranger = Claims::user(&user(), HOUR).sign(&stranger);
        assert_eq!(verifier.verify(&by_stranger), Err(Rejected::UnknownKey));
        // The stranger's key under our kid.
        let kid = signer.public_key().kid().to_owned();
        let as_ours = forged(&stranger, &claims(), |header| {
            header.kid = Some(kid.clone())
        });
        assert_eq!(verifier.verify(&as_ours), Err(Rejected::Invalid));

        for alg in ["none", "None", "NONE", "nOnE", "HS256"] {
            let header = json!({"alg": alg, "kid": kid, "typ": "JWT"}).to_string();
            let header = BASE64_URL_SAFE_NO_PAD.encode(header);
            for signature in ["", signature] {
                let token = format!("{header}.{payload}.{signature}");
                assert_eq!(verifier.verify(&token), Err(Rejected::Invalid), "{alg}");
            }
        }
        // HS256 with the public key as the secret.
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some(kid.clone());
        let x = BASE64_URL_SAFE_NO_PAD
            .decode(signer.public_key().to_string())
            .unwrap();
        let secret = jsonwebtoken::EncodingKey::from_secret(&x);
        let confused = encode(&header, &claims(), &secret).unwrap();
        assert_eq!(verifier.verify(&confused), Err(Rejected::Invalid));

        let critical = forged(&signer, &claims(), |h| {
            h.crit = Some(vec!["exp".to_owned()])
        });
        assert_eq!(verifier.verify(&critical), Err(Rejected::Invalid));
        let nameless = forged(&signer, &claims(), |h| h.kid = None);
        assert_eq!(verifier.verify(&nameless), Err(Rejected::Invalid));
    }

    #[test]
    fn any_flipped_bit_is_seen() {
        let signer = signer("user");
        let verifier = verifier(&signer);
        let token = Claims::user(&user(), HOUR).sign(&signer);
        assert!(verifier.verify(&token).is_ok());
        for (i, bit) in (0..token.len()).flat_map(|i| (0..7).map(move |bit| (i, bit))) {
            let mut bytes = token.clone().into_bytes();
            bytes[i] ^= 1_u8 << bit;
            let changed = String::from_utf8(bytes).unwrap();
            assert!(verifier.verify(&changed).is_err(), "bit {bit} of byte {i}");
        }
    }

    #[test]
    fn a_service_token_is_not_a_users() {
        let signer = signer("user");
        let token = Claims::service("order", HOUR).sign(&signer);
        assert_eq!(verifier(&signer).verify(&token), Err(Rejected::Invalid));
    }

    #[test]
    fn a_key_that_is_withdrawn_takes_its_tokens_with_it() {
        let (old, new) = (signer("old"), signer("new"));
        let keys = KeyRing::new(KeySet::new([old.public_key().clone()]));
        let verifier = Verifier::new(Audience::Users, keys.clone());
        let token = Claims::user(&user(), HOUR).sign(&old);
        assert!(verifier.verify(&token).is_ok());

        keys.replace(KeySet::new([
            new.public_key().clone(),
            old.public_key().clone(),
        ]));
        assert!(verifier.verify(&token).is_ok());
        keys.replace(KeySet::new([new.public_key().clone()]));
        assert_eq!(verifier.verify(&token), Err(Rejected::UnknownKey));
    }
}
