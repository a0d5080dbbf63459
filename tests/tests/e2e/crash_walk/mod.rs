//! The crash walk: at every step that order and catalog declare, the process dies before and after it, the step fails before and
//! after it, and what is repeatable is done twice. Whatever happened, the system becomes whole by itself, the records fit
//! together, and whoever asks again gets what they asked for, once.

mod load;
mod shop;

use std::{
    collections::VecDeque,
    io::{Write, stderr},
    panic::AssertUnwindSafe,
    sync::Mutex,
};

use futures::{FutureExt, future::join_all};
use orderflow_faults::{Fault, Point, points};
use orderflow_testkit::eventually;
use tonic::{Code, Status};

use self::{
    load::Load,
    shop::{Service, Shop, Street},
};

/// How many shops are open at once. Most of the time each waits for its follower.
const SHOPS: usize = 20;

/// A fault, whom it befalls, and what has to be done for it to happen.
#[derive(Debug, Clone, Copy)]
struct Visit {
    point: Point,
    service: Service,
    load: Load,
}

/// All that there is to visit: so says the code that will fail.
fn visits() -> impl Iterator<Item = Visit> {
    let order = points().map(|(step, point)| Visit {
        point,
        service: Service::Order,
        load: Load::for_order(step),
    });
    let catalog = points().map(|(step, point)| Visit {
        point,
        service: Service::Catalog,
        load: Load::for_catalog(step),
    });
    order.chain(catalog)
}

impl Visit {
    /// Lets the fault happen in a shop, and sees to what comes of it.
    async fn pay(self, shop: &mut Shop) {
        let scene = self.load.prepare(shop, &self.point.to_string()).await;
        self.point.arm(shop.faults()).unwrap();
        let outcome = self.load.act(&scene, shop).await;
        eventually("the fault", async || {
            (!self.point.is_armed(shop.faults())).then_some(())
        })
        .await;
        if self.point.fault.is_fatal() {
            shop.has_died(self.service).await;
            shop.restart(self.service).await;
        }
        match outcome {
            Ok(()) => {}
            // Nobody is told of what is done twice.
            Err(status) if self.point.fault == Fault::Twice => panic!("{status:?}"),
            Err(status) => assert!(is_unknown(&status), "{status:?}"),
        }
        // Without anybody asking for it.
        shop.is_whole().await;
        eventually("an answer", async || {
            let again = self.load.act_again(&scene, shop).await;
            again
                .inspect_err(|status| assert!(is_unknown(status), "{status:?}"))
                .ok()
        })
        .await;
        self.load.is_done_once(&scene, shop).await;
    }
}

/// Whether an error says no more than that nothing is known.
fn is_unknown(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable | Code::DeadlineExceeded | Code::Unknown | Code::Cancelled
    )
}

/// Visits what is left to visit, one after another, and says what has gone wrong.
async fn walk(street: &Street, left: &Mutex<VecDeque<Visit>>) -> Vec<Point> {
    let mut shop = Shop::open(street).await;
    let mut wrong = Vec::new();
    loop {
        let Some(visit) = left.lock().unwrap().pop_front() else {
            // What was right at the time still is.
            shop.is_whole().await;
            return wrong;
        };
        // Each for itself, so that all that goes wrong is known at once.
        if AssertUnwindSafe(visit.pay(&mut shop))
            .catch_unwind()
            .await
            .is_err()
        {
            eprintln!("That was wrong at {}", visit.point);
            wrong.push(visit.point);
            shop = Shop::open(street).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_fails_at_any_step_the_system_becomes_whole_and_nothing_is_done_twice() {
    let visits: VecDeque<_> = visits().collect();
    let count = |fault| visits.iter().filter(|v| v.point.fault == fault).count();
    let walked = format!(
        "walked {} fault points: {} deaths, {} failures, {} repetitions",
        visits.len(),
        count(Fault::AbortBefore) + count(Fault::AbortAfter),
        count(Fault::FailBefore) + count(Fault::FailAfter),
        count(Fault::Twice),
    );
    let street = Street::lay().await;
    let left = Mutex::new(visits);
    let wrong = join_all((0..SHOPS).map(|_| walk(&street, &left))).await;
    let mut wrong: Vec<_> = wrong.iter().flatten().map(Point::to_string).collect();
    wrong.sort();
    assert!(wrong.is_empty(), "{walked}; wrong at\n{}", wrong.join("\n"));
    // Shown also where the test passes.
    let _ = writeln!(stderr(), "{walked}");
}
