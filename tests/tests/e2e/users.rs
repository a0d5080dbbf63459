//! Accounts.

use futures::future::join_all;
use orderflow_proto::user::v1::{
    GetMeRequest, LoginRequest, RegisterRequest, UpdateMeRequest, User,
    user_service_client::UserServiceClient,
};
use orderflow_testkit::{Refusal, World};
use prost_types::FieldMask;
use tonic::Code;
use tonic_types::StatusExt;

fn registration(email: &str) -> RegisterRequest {
    RegisterRequest {
        name: "Ada".to_owned(),
        email: email.to_owned(),
        password: "correct horse".to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_registrations_of_one_address_make_one_account() {
    let world = World::start().await;
    let users = UserServiceClient::new(world.gateway().await);
    // Different spellings of the same address.
    let email = |n: usize| {
        if n % 2 == 0 {
            "ada@example.com"
        } else {
            " ADA@Example.com "
        }
    };
    let register = |n| {
        let mut users = users.clone();
        async move { users.register(registration(email(n))).await }
    };
    let results = join_all((0..50).map(register)).await;

    let (registered, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!(registered.len(), 1);
    for refused in refused {
        assert_eq!(Refusal::of(refused).code, Code::AlreadyExists);
    }
}

#[tokio::test]
async fn every_wrong_field_of_a_registration_is_named() {
    let world = World::start().await;
    let mut users = UserServiceClient::new(world.gateway().await);
    let wrong = RegisterRequest {
        name: String::new(),
        email: "{\"$gt\": \"\"}".to_owned(),
        password: "short".to_owned(),
    };
    let refusal = Refusal::of(users.register(wrong).await);
    assert_eq!(refusal.code, Code::InvalidArgument);
    assert_eq!(refusal.fields, ["email", "name", "password"]);

    for (length, code) in [(7, Code::InvalidArgument), (72, Code::InvalidArgument)] {
        let mut request = registration("limits@example.com");
        request.password = "p".repeat(length);
        assert_eq!(
            Refusal::of(users.register(request).await).code,
            code,
            "{length} bytes"
        );
    }
    for length in [8, 71] {
        let mut request = registration(&format!("length{length}@example.com"));
        request.password = "p".repeat(length);
        users.register(request).await.unwrap();
    }
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_address_look_the_same() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let mut users = UserServiceClient::new(world.gateway().await);
    let mut login = async |email: &str, password: &str| {
        let (email, password) = (email.to_owned(), password.to_owned());
        users.login(LoginRequest { email, password }).await
    };
    let wrong = login(&ada.email, "wrong horse").await.unwrap_err();
    let unknown = login("nobody@example.com", "correct horse")
        .await
        .unwrap_err();
    assert_eq!(wrong.code(), Code::Unauthenticated);
    assert_eq!(wrong.message(), unknown.message());
    assert_eq!(wrong.details(), unknown.details());
}

#[tokio::test]
async fn guessing_is_slowed_down_and_nobody_is_locked_out_for_good() {
    // All of it comes from one address, whose own limit is another matter.
    let world = World::builder()
        .setting("RATE_OF_SIGN_INS", "off")
        .start()
        .await;
    let ada = world.person("ada").await;
    let mut users = UserServiceClient::new(world.gateway().await);
    let mut login = async |email: &str, password: &str| {
        let (email, password) = (email.to_owned(), password.to_owned());
        users.login(LoginRequest { email, password }).await
    };
    let mut slowed = Vec::new();
    // An address without an account is slowed down in the same way, or it would be told apart.
    for email in [&ada.email, "nobody@example.com"] {
        for n in 0..20 {
            let status = login(email, "wrong horse").await.unwrap_err();
            assert_eq!(status.code(), Code::Unauthenticated, "{n}");
        }
        // A few more may have become free by now.
        let mut more = 0;
        let status = loop {
            let status = login(email, "wrong horse").await.unwrap_err();
            more += 1;
            if status.code() != Code::Unauthenticated || more == 100 {
                break status;
            }
        };
        assert_eq!(status.code(), Code::ResourceExhausted);
        let wait = status
            .get_details_retry_info()
            .unwrap()
            .retry_delay
            .unwrap();
        assert!(wait.as_secs() <= 3, "{wait:?}");
        slowed.push((status.message().to_owned(), Refusal::from(&status)));
    }
    assert_eq!(slowed[0], slowed[1]);

    // Somebody else does not notice.
    let bob = world.person("bob").await;
    assert!(login(&bob.email, "correct horse").await.is_ok());
    // Who waits as told gets in, though the guessing goes on; and then the slate is clean.
    while login(&ada.email, "correct horse").await.is_err() {
        tokio::task::yield_now().await;
    }
    let again = login(&ada.email, "wrong horse").await.unwrap_err();
    assert_eq!(again.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn one_changes_ones_own_name_and_with_the_password_ones_address() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let update = async |name: &str, email: &str, paths: &[&str], password: &str| {
        let request = UpdateMeRequest {
            user: Some(User {
                name: name.to_owned(),
                email: email.to_owned(),
                roles: vec!["admin".to_owned()],
                ..Default::default()
            }),
            update_mask: Some(FieldMask {
                paths: paths.iter().map(|path| (*path).to_owned()).collect(),
            }),
            current_password: password.to_owned(),
        };
        ada.users()
            .update_me(request)
            .await
            .map(|updated| updated.into_inner().user.unwrap())
    };
    assert_eq!(
        update("Ada L.", "", &["name"], "").await.unwrap().name,
        "Ada L."
    );

    let new = format!("new-{}", ada.email);
    let refusal = Refusal::of(update("", &new, &["email"], "").await);
    assert_eq!(
        (refusal.code, refusal.fields),
        (Code::InvalidArgument, vec!["current_password".into()])
    );
    let refusal = Refusal::of(update("", &new, &["email"], "wrong horse").await);
    assert_eq!(refusal.code, Code::PermissionDenied);
    assert_eq!(
        update("", &new, &["email"], "correct horse")
            .await
            .unwrap()
            .email,
        new
    );

    // What a user may not set is refused in a mask and ignored without one.
    assert_eq!(
        Refusal::of(update("", "", &["roles"], "").await).code,
        Code::InvalidArgument
    );
    let me = ada
        .users()
        .get_me(GetMeRequest {})
        .await
        .unwrap()
        .into_inner()
        .user
        .unwrap();
    assert_eq!(me.roles, [""; 0]);
}
