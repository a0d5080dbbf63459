//! An order and a catalog service that are made to fail, with databases of their own.

use std::{collections::HashMap, os::unix::process::ExitStatusExt, path::Path};

use mongodb::{Client, Database};
use orderflow_cli::audit::{Audit, Databases, History};
use orderflow_contract::Id;
use orderflow_testkit::{Person, eventually};
use tempfile::TempDir;
use tokio::sync::Mutex;
use tonic::transport::Endpoint;

use crate::programs::{Program, free_address, is_ready, settings, start};

const SIGABRT: i32 = 6;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Service {
    Order,
    Catalog,
}

impl Service {
    fn name(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Catalog => "catalog",
        }
    }
}

/// What shops share: one user service, and somebody who has an account.
pub(super) struct Street {
    settings: HashMap<String, String>,
    ada: Person,
    _user: Program,
    /// New databases take time, all the more where many come at once.
    opening: Mutex<()>,
}

impl Street {
    pub(super) async fn lay() -> Self {
        let settings = settings().await;
        let user = start("user", &settings);
        eventually("a user service", async || is_ready(&user).await).await;
        let channel = Endpoint::from_shared(settings["USER_URL"].clone()).unwrap();
        Self {
            ada: Person::register(channel.connect().await.unwrap(), "ada").await,
            settings,
            _user: user,
            opening: Mutex::default(),
        }
    }
}

pub(super) struct Shop {
    settings: HashMap<String, String>,
    programs: HashMap<Service, Program>,
    faults: TempDir,
    mongo: Client,
    /// Somebody who sells and buys, at the catalog.
    pub(super) seller: Person,
    /// The same, at the order service.
    pub(super) buyer: Person,
    /// Orders that are known to exist.
    pub(super) acknowledged: Vec<Id>,
    /// Days ago that nothing has been done on.
    pub(super) fresh_day: i64,
}

impl Shop {
    pub(super) async fn open(street: &Street) -> Self {
        let _alone = street.opening.lock().await;
        let faults = TempDir::new().unwrap();
        let mut settings = street.settings.clone();
        let shop = Id::random();
        for program in ["CATALOG", "ORDER"] {
            let address = free_address();
            settings.insert(format!("{program}_LISTEN"), address.to_string());
            settings.insert(format!("{program}_URL"), format!("http://{address}"));
            let database = format!("test_{shop}_{program}");
            settings.insert(format!("{program}_DATABASE"), database);
        }
        let directory = faults.path().to_str().unwrap();
        settings.insert("FAULTS".to_owned(), directory.to_owned());
        let start = |service: Service| (service, start(service.name(), &settings));
        let programs = HashMap::from([Service::Catalog, Service::Order].map(start));
        for program in programs.values() {
            eventually("a service", async || is_ready(program).await).await;
        }
        let at = |service| street.ada.by_way_of(programs[&service].address);
        Self {
            seller: at(Service::Catalog).await,
            buyer: at(Service::Order).await,
            mongo: Client::with_uri_str(&settings["MONGO_URL"]).await.unwrap(),
            settings,
            programs,
            faults,
            acknowledged: Vec::new(),
            // The first that is closed for sure.
            fresh_day: 3,
        }
    }

    /// Where faults are armed.
    pub(super) fn faults(&self) -> &Path {
        self.faults.path()
    }

    pub(super) fn database(&self, service: Service) -> Database {
        let setting = format!("{}_DATABASE", service.name().to_uppercase());
        self.mongo.database(&self.settings[&setting])
    }

    /// Waits until a service has died of its fault.
    pub(super) async fn has_died(&mut self, service: Service) {
        let program = self.programs.get_mut(&service).unwrap();
        let status = program.child.wait().await.unwrap();
        assert_eq!(status.signal(), Some(SIGABRT), "{status}");
    }

    pub(super) async fn restart(&mut self, service: Service) {
        let program = start(service.name(), &self.settings);
        eventually("the service again", async || is_ready(&program).await).await;
        self.programs.insert(service, program);
    }

    /// Waits until nothing is left half-way, and sees that I1 to I7 hold.
    pub(super) async fn is_whole(&self) {
        let databases = Databases {
            catalog: self.database(Service::Catalog).name().to_owned(),
            order: self.database(Service::Order).name().to_owned(),
        };
        let history = History {
            acknowledged: self.acknowledged.clone(),
            refused: Vec::new(),
        };
        let audit = Audit::new(&self.mongo, &databases).expecting(history);
        let report = audit.run().await.unwrap();
        assert!(report.is_clean(), "{report}");
    }
}
