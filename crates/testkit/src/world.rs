use std::{collections::HashMap, net::SocketAddr, time::Duration};

use mongodb::{Client, bson::doc};
use orderflow_cli::{
    Configs, System,
    audit::{Audit, Databases, Report},
    secrets,
};
use orderflow_contract::Id;
use orderflow_mongod::{Options, ReplicaSet, Source};
use tokio::{
    sync::OnceCell,
    time::{Instant, sleep},
};
use tonic::transport::{Channel, Endpoint};

use crate::Person;

/// How long anything in a test may take. Far more than it does, so that a slow machine fails no test.
const PATIENCE: Duration = Duration::from_secs(30);

/// The whole system, with databases of its own.
pub struct World {
    /// The four programs.
    pub system: System,
    /// What they were told.
    pub settings: HashMap<String, String>,
    databases: String,
}

/// How a world is to be.
pub struct Builder {
    settings: HashMap<String, String>,
}

/// The replica set of this test binary, started by the first test that needs one, or what `MONGO_URL` names.
pub async fn mongo_url() -> String {
    static OWN: OnceCell<ReplicaSet> = OnceCell::const_new();
    match Source::from_env() {
        Source::Existing(url) => url,
        Source::Own => {
            let options = Options::ephemeral().set_parameter("enableTestCommands", "1");
            let start = async || ReplicaSet::start(options.clone()).await.unwrap();
            OWN.get_or_init(start).await.url()
        }
    }
}

impl World {
    /// A system as it comes.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// A system with other settings.
    pub fn builder() -> Builder {
        Builder {
            settings: secrets::generate()
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        }
    }

    /// A connection to the gateway.
    pub async fn gateway(&self) -> Channel {
        connect(self.system.gateway).await
    }

    /// Registers somebody and signs them in.
    pub async fn person(&self, name: &str) -> Person {
        Person::register(self.gateway().await, name).await
    }

    /// Somebody who may do everything.
    pub async fn admin(&self) -> Person {
        let admin = self.person("admin").await;
        let users = self
            .database("user")
            .await
            .collection::<mongodb::bson::Document>("users");
        let filter = doc! { "_id": &admin.id };
        users
            .update_one(filter, doc! { "$set": { "roles": ["admin"] } })
            .await
            .unwrap();
        admin.sign_in_again().await
    }

    /// The database of a service, to look behind its back.
    pub async fn database(&self, service: &str) -> mongodb::Database {
        let client = Client::with_uri_str(&self.settings["MONGO_URL"])
            .await
            .unwrap();
        client.database(&format!("{}_{service}", self.databases))
    }

    /// Who checks that the records fit together; also when the system runs no more.
    pub async fn auditor(&self) -> Audit {
        let catalog = self.database("catalog").await;
        let databases = Databases {
            catalog: catalog.name().to_owned(),
            order: self.database("order").await.name().to_owned(),
        };
        Audit::new(catalog.client(), &databases)
    }

    /// What there is to say about the records, once what is under way now is finished.
    pub async fn audit(&self) -> Report {
        self.auditor().await.run().await.unwrap()
    }
}

impl Builder {
    /// Changes a setting.
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Starts it and waits until it is ready.
    pub async fn start(self) -> World {
        let mut settings = self.settings;
        if !settings.contains_key("MONGO_URL") {
            settings.insert("MONGO_URL".to_owned(), mongo_url().await);
        }
        let databases = format!("test_{}", Id::random());
        for service in ["user", "catalog", "order"] {
            let name = format!("{}_DATABASE", service.to_uppercase());
            settings.insert(name, format!("{databases}_{service}"));
        }
        // At the cost that real passwords get, a test would spend its time hashing.
        let cheap = |configs: &mut Configs| configs.user.bcrypt_cost = 4;
        let mut system = System::start(settings.clone(), cheap).await.unwrap();
        system.ready(PATIENCE).await.unwrap();
        World {
            system,
            settings,
            databases,
        }
    }
}

pub(crate) async fn connect(address: SocketAddr) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    endpoint.connect().await.unwrap()
}

/// Waits until `condition` gives something.
pub async fn eventually<T>(what: &str, condition: impl AsyncFn() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = condition().await {
            return found;
        }
        assert!(Instant::now() < until, "{what}: not within {PATIENCE:?}");
        sleep(Duration::from_millis(10)).await;
    }
}
