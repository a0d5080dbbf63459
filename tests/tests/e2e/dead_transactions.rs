//! A catalog that is killed or stopped within a transaction, its stock taken and not committed.

use std::collections::HashMap;

use mongodb::bson::{Document, doc};
use orderflow_contract::Id;
use orderflow_mongod::{Options, ReplicaSet};
use orderflow_proto::catalog::v1::{Product, ReserveItem, reserve_outcome::Outcome};
use orderflow_testkit::{Person, World, eventually};
use tokio::task::JoinHandle;

use crate::{
    inventory::{inventory_at, item, kinds, reserve, stock},
    programs::{Program, free_address, is_ready, signal, start},
};

/// A world on a MongoDB of its own, and a second catalog that hangs between taking the stock of `tea` and committing.
struct Scene {
    // Programs end before the MongoDB that they use.
    doomed: Program,
    world: World,
    ada: Person,
    tea: Product,
    item: ReserveItem,
    reserving: JoinHandle<Vec<Outcome>>,
    settings: HashMap<String, String>,
    /// How often sessions were ended before.
    kills: i64,
    _mongo: ReplicaSet,
}

/// As somebody else's MongoDB is: longer than `eventually` waits.
pub(crate) const LEFT_OPEN_FOR_60_S: (&str, &str) = ("transactionLifetimeLimitSeconds", "60");

/// A world on a MongoDB that nobody else uses.
pub(crate) async fn world_of_its_own(parameters: &[(&str, &str)]) -> (ReplicaSet, World) {
    let mut options = Options::ephemeral().set_parameter("enableTestCommands", "1");
    for (name, value) in parameters {
        options = options.set_parameter(name, value);
    }
    let mongo = ReplicaSet::start(options).await.unwrap();
    let world = World::builder().setting("MONGO_URL", &mongo.url());
    let world = world.start().await;
    (mongo, world)
}

impl Scene {
    async fn set(parameters: &[(&str, &str)]) -> Self {
        let (mongo, world) = world_of_its_own(parameters).await;
        let ada = world.person("ada").await;
        let tea = ada.product().stock(10).create().await;

        let mut settings = world.settings.clone();
        let user_url = format!("http://{}", world.system.user);
        settings.insert("USER_URL".to_owned(), user_url);
        let address = free_address().to_string();
        settings.insert("CATALOG_LISTEN".to_owned(), address);
        let doomed = start("catalog", &settings);
        eventually("a second catalog", async || is_ready(&doomed).await).await;

        hang_in_next_commit(&world).await;
        let mut item = item(Id::random(), &[(&tea, 3)]);
        // Else its id would have to be made from it.
        item.request_id.clear();
        let inventory = inventory_at(doomed.address, &world).await;
        let items = vec![item.clone()];
        let reserving = tokio::spawn(async move { reserve(&inventory, items).await });
        it_hangs(&world).await;
        Self {
            kills: kills(&world).await,
            doomed,
            world,
            ada,
            tea,
            item,
            reserving,
            settings,
            _mongo: mongo,
        }
    }

    /// Places an order for the same product through the other replica.
    async fn orders_go_on(&self) {
        eventually("an order", async || {
            let order = self.ada.order().line(&self.tea, 1).request_id("other");
            order.place().await.ok()
        })
        .await;
        assert!(kills(&self.world).await > self.kills);
        assert_eq!(stock(&self.ada, &self.tea).await, 9);
    }
}

/// Runs a command of an administrator's.
pub(crate) async fn admin(world: &World, command: Document) -> Document {
    let admin = world.database("catalog").await.client().database("admin");
    admin.run_command(command).await.unwrap()
}

/// How many transactions MongoDB has counted under this name.
pub(crate) async fn transactions(world: &World, counter: &str) -> i64 {
    let status = admin(world, doc! { "serverStatus": 1 }).await;
    let transactions = status.get_document("transactions").unwrap();
    transactions.get_i64(counter).unwrap()
}

/// Holds up the next commit of a catalog, until its session is ended.
pub(crate) async fn hang_in_next_commit(world: &World) {
    let hang = doc! {
        "configureFailPoint": "failCommand",
        "mode": { "times": 1 },
        "data": {
            "failCommands": ["commitTransaction"],
            "appName": "orderflow-catalog",
            "blockConnection": true,
            "blockTimeMS": 600_000,
        },
    };
    admin(world, hang).await;
}

/// Waits until one is held up.
pub(crate) async fn it_hangs(world: &World) {
    let entered =
        doc! { "waitForFailPoint": "failCommand", "timesEntered": 1, "maxTimeMS": 30_000 };
    admin(world, entered).await;
}

/// How often sessions were ended.
async fn kills(world: &World) -> i64 {
    let status = admin(world, doc! { "serverStatus": 1 }).await;
    let commands = |status: &Document| {
        let metrics = status.get_document("metrics")?;
        metrics
            .get_document("commands")?
            .get_document("killSessions")?
            .get_i64("total")
    };
    commands(&status).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_go_on_when_a_catalog_is_killed_within_its_transaction() {
    let mut scene = Scene::set(&[LEFT_OPEN_FOR_60_S]).await;
    scene.doomed.child.kill().await.unwrap();
    scene.orders_go_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_our_own_mongodb_too() {
    let mut scene = Scene::set(&[]).await;
    scene.doomed.child.kill().await.unwrap();
    scene.orders_go_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_that_restarts_is_not_blocked_by_its_own_past() {
    let mut scene = Scene::set(&[LEFT_OPEN_FOR_60_S]).await;
    scene.doomed.child.kill().await.unwrap();
    assert!(scene.reserving.await.is_err(), "nobody answered");

    let reborn = start("catalog", &scene.settings);
    eventually("a catalog", async || is_ready(&reborn).await).await;
    assert!(kills(&scene.world).await > scene.kills);
    let inventory = inventory_at(reborn.address, &scene.world).await;
    let again = reserve(&inventory, vec![scene.item]).await;
    assert_eq!(kinds(&again), ["reserved"]);
    assert_eq!(stock(&scene.ada, &scene.tea).await, 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_go_on_when_a_catalog_is_stopped_and_it_goes_on_too_when_it_wakes_up() {
    for parameters in [&[LEFT_OPEN_FOR_60_S][..], &[]] {
        let scene = Scene::set(parameters).await;
        signal(&scene.doomed, "-STOP").await;
        scene.orders_go_on().await;

        signal(&scene.doomed, "-CONT").await;
        // It finds its transaction gone: as long as it slept it does not begin it anew.
        let late = scene.reserving.await.unwrap();
        assert!(["undecided", "reserved"].contains(&kinds(&late)[0]));
        let inventory = inventory_at(scene.doomed.address, &scene.world).await;
        for _ in 0..2 {
            let again = reserve(&inventory, vec![scene.item.clone()]).await;
            assert_eq!(kinds(&again), ["reserved"]);
            assert_eq!(stock(&scene.ada, &scene.tea).await, 6);
        }
        let report = scene.world.audit().await;
        assert!(report.is_clean(), "{report:?}");
    }
}
