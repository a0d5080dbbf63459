use mongodb::bson::DateTime;
use orderflow_contract::{Id, Invalid, text, time};
use orderflow_identity as identity;
use orderflow_proto::user::v1::{
    GetKeysRequest, GetKeysResponse, GetMeRequest, GetMeResponse, LoginRequest, LoginResponse,
    RegisterRequest, RegisterResponse, UpdateMeRequest, UpdateMeResponse, User,
    identity_service_server::IdentityService, user_service_server::UserService,
};
use orderflow_quota::Meter;
use tonic::{Request, Response, Status};

use crate::{
    SigningKeys,
    email::Email,
    failure::Failure,
    password::{Hash, Hasher, Password},
    store::{self, Store},
    tokens::Tokens,
};

/// Answers for `UserService`.
pub(crate) struct Accounts {
    pub(crate) store: Store,
    pub(crate) hasher: Hasher,
    pub(crate) tokens: Tokens,
    /// Passwords tried, by account.
    pub(crate) attempts: Meter,
}

#[tonic::async_trait]
impl UserService for Accounts {
    async fn register(
        &self,
        request: Request<RegisterRequest>,
    ) -> Result<Response<RegisterResponse>, Status> {
        let (name, email, password) = registration(request.into_inner())?;
        // The index decides; these look-ups spare a hash, the second one those who waited behind the same address.
        self.refuse_taken(&email).await?;
        let turn = self.hasher.turn().await?;
        self.refuse_taken(&email).await?;
        let password_hash = turn.hash(password).await?;
        let now = DateTime::now();
        let user = store::User {
            id: Id::random(),
            name,
            email,
            password_hash,
            roles: Vec::new(),
            create_time: now,
            update_time: now,
        };
        let user = Some(self.store.insert(user).await?.into());
        Ok(Response::new(RegisterResponse { user }))
    }

    async fn login(
        &self,
        request: Request<LoginRequest>,
    ) -> Result<Response<LoginResponse>, Status> {
        let (email, password) = credentials(request.into_inner())?;
        let user = self.store.with_email(&email).await?;
        let hash = user.as_ref().map(|user| user.password_hash.clone());
        let matches = self.is_password(&email, password, hash).await?;
        let user = user.filter(|_| matches).ok_or(Failure::BadCredentials)?;
        Ok(Response::new(LoginResponse {
            access_token: self.tokens.issue(user.id, user.roles),
            token_type: "bearer".to_owned(),
            expires_in: self.tokens.expires_in(),
        }))
    }

    async fn get_me(
        &self,
        request: Request<GetMeRequest>,
    ) -> Result<Response<GetMeResponse>, Status> {
        let user = Some(self.caller(&request).await?.into());
        Ok(Response::new(GetMeResponse { user }))
    }

    async fn update_me(
        &self,
        request: Request<UpdateMeRequest>,
    ) -> Result<Response<UpdateMeResponse>, Status> {
        let me = self.caller(&request).await?;
        let Change { name, email } = change(request.into_inner(), &me)?;
        let email = match email {
            None => None,
            Some((email, password)) => {
                let hash = Some(me.password_hash.clone());
                if !self.is_password(&me.email, password, hash).await? {
                    return Err(Failure::WrongPassword.into());
                }
                Some(email)
            }
        };
        let me = match (&name, &email) {
            (None, None) => me,
            _ => {
                let me = self.store.update(me.id, name, email).await?;
                me.ok_or(Failure::AccountGone)?
            }
        };
        let user = Some(me.into());
        Ok(Response::new(UpdateMeResponse { user }))
    }
}

impl Accounts {
    /// The account of whoever sent a request.
    async fn caller<T>(&self, request: &Request<T>) -> Result<store::User, Status> {
        let caller = identity::User::of(request)?;
        let user = self.store.with_id(caller.id).await?;
        Ok(user.ok_or(Failure::AccountGone)?)
    }

    /// Tries a password on an account, or on an address without one. Counted before it is looked at, so that many at once are no
    /// way around; the right one wipes the slate clean, so that nobody is ever locked out for good.
    async fn is_password(
        &self,
        email: &Email,
        password: Password,
        hash: Option<Hash>,
    ) -> Result<bool, Failure> {
        let attempt = self.attempts.take(email.as_str());
        attempt.map_err(Failure::TooManyAttempts)?;
        let matches = self.hasher.turn().await?.matches(password, hash).await?;
        if matches {
            self.attempts.forget(email.as_str());
        }
        Ok(matches)
    }

    async fn refuse_taken(&self, email: &Email) -> Result<(), Failure> {
        match self.store.with_email(email).await? {
            Some(_) => Err(Failure::EmailTaken),
            None => Ok(()),
        }
    }
}

fn registration(request: RegisterRequest) -> Result<(String, Email, Password), Failure> {
    let mut invalid = Invalid::new();
    let name = invalid.take("name", name(&request.name));
    let email = invalid.take("email", request.email.parse());
    let password = invalid.take("password", request.password.try_into());
    Ok(invalid.finish(|| Some((name?, email?, password?)))?)
}

/// What no account can have is refused like any other wrong field: this says nothing about who has one.
fn credentials(request: LoginRequest) -> Result<(Email, Password), Failure> {
    let mut invalid = Invalid::new();
    let email = invalid.take("email", request.email.parse());
    let password = invalid.take("password", request.password.try_into());
    Ok(invalid.finish(|| Some((email?, password?)))?)
}

fn name(text: &str) -> Result<String, String> {
    text::line(text, 1..=200)
}

/// What somebody wants to be changed.
struct Change {
    name: Option<String>,
    /// Together with the password that it takes.
    email: Option<(Email, Password)>,
}

fn change(request: UpdateMeRequest, me: &store::User) -> Result<Change, Failure> {
    let mut invalid = Invalid::new();
    let user = request.user.unwrap_or_default();
    let mask = request.update_mask.unwrap_or_default().paths;
    if mask.iter().any(|path| path != "name" && path != "email") {
        invalid.add("update_mask", "must name nothing but name and email");
    }
    let wants = |path: &str, value: &str| match mask.is_empty() {
        true => !value.is_empty(),
        false => mask.iter().any(|p| p == path),
    };
    let new_name = wants("name", &user.name).then(|| invalid.take("user.name", name(&user.name)));
    let email = wants("email", &user.email).then(|| invalid.take("user.email", user.email.parse()));
    // Who sends the whole account back changes nothing by it, and need not know the password.
    let new_name = new_name.flatten().filter(|name| *name != me.name);
    let email = email.flatten().filter(|email| *email != me.email);
    let password = email.is_some().then(|| {
        let password = match request.current_password.is_empty() {
            true => Err("is required to change the e-mail address"),
            false => request.current_password.try_into(),
        };
        invalid.take("current_password", password)
    });
    Ok(invalid.finish(|| {
        Some(Change {
            name: new_name,
            email: email.zip(password.flatten()),
        })
    })?)
}

impl From<store::User> for User {
    fn from(user: store::User) -> Self {
        let timestamp = |time: DateTime| Some(time::timestamp(time.timestamp_millis()));
        Self {
            id: user.id.to_string(),
            name: user.name,
            email: user.email.to_string(),
            roles: user.roles,
            create_time: timestamp(user.create_time),
            update_time: timestamp(user.update_time),
        }
    }
}

#[tonic::async_trait]
impl IdentityService for SigningKeys {
    async fn get_keys(
        &self,
        _: Request<GetKeysRequest>,
    ) -> Result<Response<GetKeysResponse>, Status> {
        let jwks = self.to_jwks();
        Ok(Response::new(GetKeysResponse { jwks }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn me() -> store::User {
        let password = Password::try_from("correct horse".to_owned()).unwrap();
        let turn = Hasher::new(4).await.unwrap();
        let turn = turn.turn().await.unwrap();
        store::User {
            id: Id::random(),
            name: "Ada".to_owned(),
            email: "ada@example.com".parse().unwrap(),
            password_hash: turn.hash(password).await.unwrap(),
            roles: Vec::new(),
            create_time: DateTime::now(),
            update_time: DateTime::now(),
        }
    }

    fn update(name: &str, email: &str, mask: &[&str], password: &str) -> UpdateMeRequest {
        UpdateMeRequest {
            user: Some(User {
                name: name.to_owned(),
                email: email.to_owned(),
                ..User::default()
            }),
            update_mask: Some(prost_types::FieldMask {
                paths: mask.iter().map(|path| (*path).to_owned()).collect(),
            }),
            current_password: password.to_owned(),
        }
    }

    fn wrong_fields<T>(result: Result<T, Failure>) -> Vec<String> {
        match result {
            Err(Failure::Invalid(invalid)) => {
                let violations = invalid.violations().iter();
                violations.map(|v| v.field.clone()).collect()
            }
            _ => Vec::new(),
        }
    }

    #[test]
    fn a_registration_names_every_wrong_field() {
        let wrong = registration(RegisterRequest::default());
        assert_eq!(wrong_fields(wrong), ["name", "email", "password"]);
    }

    #[tokio::test]
    async fn a_mask_says_what_changes() {
        let me = me().await;
        let changed = |request| {
            let Change { name, email } = change(request, &me).unwrap();
            (name, email.map(|(email, _)| email.to_string()))
        };
        let (name, email) = (Some("Bo".to_owned()), Some("bo@example.com".to_owned()));
        let request = |mask: &[&str]| update("Bo", "bo@example.com", mask, "correct horse");
        assert_eq!(changed(request(&["name"])), (name.clone(), None));
        assert_eq!(changed(request(&["email"])), (None, email.clone()));
        assert_eq!(
            changed(request(&["name", "email"])),
            (name.clone(), email.clone())
        );
        assert_eq!(changed(request(&[])), (name.clone(), email));
        assert_eq!(changed(update("Bo", "", &[], "")), (name.clone(), None));
        assert_eq!(changed(UpdateMeRequest::default()), (None, None));
        // Their own address is no change, whatever its spelling.
        assert_eq!(
            changed(update("Bo", "Ada@Example.com", &[], "")),
            (name, None)
        );
    }

    #[tokio::test]
    async fn an_update_names_every_wrong_field() {
        let me = me().await;
        let wrong = |request| wrong_fields(change(request, &me));
        assert_eq!(wrong(update("Bo", "", &["roles"], "")), ["update_mask"]);
        assert_eq!(wrong(update("Bo", "", &["*"], "")), ["update_mask"]);
        let both_empty = update("", "", &["name", "email"], "");
        assert_eq!(wrong(both_empty), ["user.name", "user.email"]);
        let no_password = update("a\nb", "bo@example.com", &[], "");
        assert_eq!(wrong(no_password), ["user.name", "current_password"]);
        let too_long = update("", "bo@example.com", &[], &"a".repeat(72));
        assert_eq!(wrong(too_long), ["current_password"]);
    }
}
