//! What is done while something fails.

use std::sync::LazyLock;

use mongodb::bson::{DateTime, Document, doc};
use orderflow_contract::{Id, time::now_ms};
use orderflow_faults::{Fault, Point};
use orderflow_proto::{
    catalog::v1::{
        AdjustStockRequest, DeleteProductRequest, GetProductRequest, Product, UpdateProductRequest,
    },
    order::v1::{GetOrderStatsRequest, Order, OrderStatus},
};
use prost_types::FieldMask;
use tonic::{Code, Status};

use super::shop::{Service, Shop};
use crate::orders::{cancel, stock, update};

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
/// How many there are of a product at first.
const STOCK: i64 = 10;
/// How many of them are ordered.
const ORDERED: i32 = 3;
/// How many more a delivery brings.
const DELIVERED: i64 = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Load {
    /// An order of one product is placed.
    Place,
    /// An order of two products is placed.
    PlaceTwo,
    /// An order is reserved, and left to the follower.
    PlaceLeft,
    /// The same, some days ago.
    PlaceLate,
    /// An order is cancelled.
    Cancel,
    /// A cancellation is left half-way to the follower.
    CancelLeft,
    /// An order of some days ago is cancelled.
    CancelLate,
    /// An order is shipped.
    Ship,
    /// The orders of a day are counted.
    Count,
    CreateProduct,
    AdjustStock,
    UpdateProduct,
    DeleteProduct,
}

/// Whom and what it is done to.
pub(super) struct Scene {
    key: String,
    product: Product,
    /// What else is ordered.
    other: Option<Product>,
    order: Order,
    day: DateTime,
}

impl Load {
    /// What takes this step.
    pub(super) fn for_order(step: orderflow_order::Step) -> Self {
        use orderflow_order::Step;
        match step {
            Step::Place | Step::PlaceReserve | Step::PlaceWrite | Step::InsertOrders => Self::Place,
            Step::FollowList | Step::FollowSettle => Self::Place,
            Step::FollowRead | Step::FollowWrite => Self::PlaceLeft,
            Step::InsertLate | Step::InsertLateDays | Step::InsertLateOrders => Self::PlaceLate,
            Step::Cancel | Step::CancelClaim | Step::CancelRelease | Step::CancelFinish => {
                Self::Cancel
            }
            Step::FollowCancel => Self::CancelLeft,
            Step::MoveLate | Step::MoveLateDays | Step::MoveLateOrders => Self::CancelLate,
            Step::Move | Step::MoveOrders => Self::Ship,
            Step::KeepCounted => Self::Count,
        }
    }

    /// What takes this step.
    pub(super) fn for_catalog(step: orderflow_catalog::Step) -> Self {
        use orderflow_catalog::Step;
        match step {
            Step::Reserve | Step::ReserveTogether | Step::ReserveTakeOne | Step::ReserveRecord => {
                Self::Place
            }
            Step::ReserveTake => Self::PlaceTwo,
            Step::ListUnsettled | Step::Settle => Self::Place,
            Step::GetReservations => Self::PlaceLeft,
            Step::Release | Step::ReleaseTogether | Step::ReleaseMark | Step::ReleaseGive => {
                Self::Cancel
            }
            Step::CreateProduct | Step::Post | Step::PostProducts => Self::CreateProduct,
            Step::AdjustStock | Step::PostStock | Step::PostRows => Self::AdjustStock,
            Step::UpdateProduct => Self::UpdateProduct,
            Step::DeleteProduct => Self::DeleteProduct,
        }
    }

    /// All that comes before.
    pub(super) async fn prepare(self, shop: &mut Shop, name: &str) -> Scene {
        let key = name.replace([' ', ','], "-");
        let mut scene = Scene {
            product: match self {
                Self::CreateProduct => Product::default(),
                _ => shop.seller.product().stock(STOCK).create().await,
            },
            other: match self {
                Self::PlaceTwo => Some(shop.seller.product().create().await),
                _ => None,
            },
            order: Order::default(),
            day: day(shop),
            key,
        };
        match self {
            Self::Place | Self::PlaceTwo | Self::CreateProduct => {}
            Self::AdjustStock | Self::UpdateProduct | Self::DeleteProduct => {}
            Self::PlaceLeft | Self::PlaceLate => {
                let unwritten = Point::of(orderflow_order::Step::PlaceWrite, Fault::FailBefore);
                unwritten.arm(shop.faults()).unwrap();
                scene.place(shop).await.unwrap_err();
                if self == Self::PlaceLate {
                    // Before the follower takes it up.
                    let reservations = shop.database(Service::Catalog).collection("reservations");
                    set_day(&reservations, scene.id(shop), scene.day).await;
                }
            }
            Self::Cancel | Self::CancelLeft | Self::CancelLate | Self::Ship | Self::Count => {
                scene.order = scene.place(shop).await.unwrap();
                shop.acknowledged.push(scene.id(shop));
            }
        }
        if let Self::CancelLate | Self::Count = self {
            let orders = shop.database(Service::Order).collection("orders");
            set_day(&orders, scene.id(shop), scene.day).await;
        }
        match self {
            // So that what was kept of the day is no longer true.
            Self::CancelLate => assert_eq!(scene.count(shop).await.unwrap(), 1),
            Self::CancelLeft => {
                let unreleased = Point::of(orderflow_order::Step::CancelRelease, Fault::FailBefore);
                unreleased.arm(shop.faults()).unwrap();
                cancel(&shop.buyer, &scene.order).await.unwrap_err();
            }
            _ => {}
        }
        scene
    }

    /// Does it; nothing, if it is left to the follower.
    pub(super) async fn act(self, scene: &Scene, shop: &mut Shop) -> Result<(), Status> {
        match self {
            Self::PlaceLeft | Self::PlaceLate | Self::CancelLeft => Ok(()),
            Self::Place | Self::PlaceTwo => {
                scene.place(shop).await?;
                shop.acknowledged.push(scene.id(shop));
                Ok(())
            }
            _ => self.act_again(scene, shop).await,
        }
    }

    /// Asks for it again, with the same request id.
    pub(super) async fn act_again(self, scene: &Scene, shop: &Shop) -> Result<(), Status> {
        match self {
            Self::Place | Self::PlaceTwo | Self::PlaceLeft | Self::PlaceLate => {
                let order = scene.place(shop).await?;
                assert_eq!(order.status(), OrderStatus::Pending);
            }
            Self::Cancel | Self::CancelLeft | Self::CancelLate => {
                let status = cancel(&shop.buyer, &scene.order).await?;
                assert_eq!(status, OrderStatus::Cancelled);
            }
            Self::Ship => {
                let status = update(&shop.buyer, &scene.order, OrderStatus::Shipped).await?;
                assert_eq!(status, OrderStatus::Shipped);
            }
            Self::Count => assert_eq!(scene.count(shop).await?, 1),
            Self::CreateProduct => {
                let mut draft = shop.seller.product().stock(STOCK);
                draft.request.request_id.clone_from(&scene.key);
                let product = draft.try_create().await?;
                assert_eq!(product.id, scene.created_id(shop));
            }
            Self::AdjustStock => {
                let request = AdjustStockRequest {
                    product_id: scene.product.id.clone(),
                    delta: DELIVERED,
                    reason: "delivery".to_owned(),
                    request_id: scene.key.clone(),
                };
                let adjusted = shop.seller.catalog().adjust_stock(request).await?;
                let product = adjusted.into_inner().product.unwrap();
                assert_eq!(product.stock, STOCK + DELIVERED);
            }
            Self::UpdateProduct => {
                let request = UpdateProductRequest {
                    product: Some(Product {
                        id: scene.product.id.clone(),
                        name: scene.key.clone(),
                        ..Product::default()
                    }),
                    update_mask: Some(FieldMask {
                        paths: vec!["name".to_owned()],
                    }),
                };
                let changed = shop.seller.catalog().update_product(request).await?;
                assert_eq!(changed.into_inner().product.unwrap().name, scene.key);
            }
            Self::DeleteProduct => {
                let request = DeleteProductRequest {
                    id: scene.product.id.clone(),
                    etag: String::new(),
                };
                match shop.seller.catalog().delete_product(request).await {
                    Err(status) if status.code() == Code::NotFound => {}
                    result => drop(result?),
                }
            }
        }
        Ok(())
    }

    /// Sees that it was done, and done once.
    pub(super) async fn is_done_once(self, scene: &Scene, shop: &Shop) {
        let ordered = i64::from(ORDERED);
        let (stock_left, moves, counted) = match self {
            Self::Place | Self::PlaceTwo | Self::PlaceLeft => (STOCK - ordered, &[][..], 0),
            Self::PlaceLate | Self::Count => (STOCK - ordered, &[][..], 1),
            Self::Ship => (STOCK - ordered, &["SHIPPED"][..], 0),
            Self::Cancel | Self::CancelLeft | Self::CancelLate => {
                let order = scene.place(shop).await.unwrap();
                assert_eq!(order.status(), OrderStatus::Cancelled);
                (STOCK, &["CANCELLING", "CANCELLED"][..], 0)
            }
            Self::CreateProduct => {
                let id = scene.created_id(shop);
                return assert_eq!(
                    stock(
                        &shop.seller,
                        &Product {
                            id,
                            ..Product::default()
                        }
                    )
                    .await,
                    STOCK
                );
            }
            Self::AdjustStock => {
                let left = stock(&shop.seller, &scene.product).await;
                return assert_eq!(left, STOCK + DELIVERED);
            }
            Self::UpdateProduct => {
                return assert_eq!(stock(&shop.seller, &scene.product).await, STOCK);
            }
            Self::DeleteProduct => {
                let id = scene.product.id.clone();
                let mut catalog = shop.seller.catalog();
                let found = catalog.get_product(GetProductRequest { id }).await;
                return assert_eq!(found.unwrap_err().code(), Code::NotFound);
            }
        };
        assert_eq!(stock(&shop.seller, &scene.product).await, stock_left);
        assert_eq!(scene.moves(shop).await, moves);
        assert_eq!(scene.count(shop).await.unwrap(), counted);
    }
}

impl Scene {
    /// The id of the order, whoever has heard of it.
    fn id(&self, shop: &Shop) -> Id {
        Id::derived(&[shop.buyer.id.as_bytes(), self.key.as_bytes()])
    }

    /// The id of the product that is created.
    fn created_id(&self, shop: &Shop) -> String {
        let owner = shop.seller.id.as_bytes();
        Id::derived(&[b"product", owner, self.key.as_bytes()]).to_string()
    }

    async fn place(&self, shop: &Shop) -> Result<Order, Status> {
        let mut order = shop.buyer.order().line(&self.product, ORDERED);
        if let Some(other) = &self.other {
            order = order.line(other, 1);
        }
        let order = order.request_id(&self.key).place().await?;
        assert_eq!(order.id, self.id(shop).to_string());
        Ok(order)
    }

    /// How often the order was moved, and where to.
    async fn moves(&self, shop: &Shop) -> Vec<String> {
        let orders = shop
            .database(Service::Order)
            .collection::<Document>("orders");
        let filter = doc! { "_id": self.id(shop).to_string() };
        let order = orders.find_one(filter).await.unwrap().unwrap();
        let moves = order.get_array("moves").unwrap().iter();
        let to = moves.map(|made| {
            made.as_document()
                .unwrap()
                .get_str("to")
                .unwrap()
                .to_owned()
        });
        to.collect()
    }

    /// How many orders there are of the day.
    async fn count(&self, shop: &Shop) -> Result<i64, Status> {
        let day = self.day.try_to_rfc3339_string().unwrap()[..10].to_owned();
        let request = GetOrderStatsRequest {
            start_day: day.clone(),
            end_day: day,
        };
        let counted = shop.buyer.orders().get_order_stats(request).await?;
        Ok(counted.into_inner().days.iter().map(|row| row.orders).sum())
    }
}

/// Noon of a day that nothing has happened on. Counted from the same day, though midnight may pass.
fn day(shop: &mut Shop) -> DateTime {
    static TODAY: LazyLock<i64> = LazyLock::new(|| now_ms().div_euclid(DAY_MS));
    shop.fresh_day += 1;
    DateTime::from_millis((*TODAY - shop.fresh_day) * DAY_MS + DAY_MS / 2)
}

/// As if an order, or its reservation, had been made then.
async fn set_day(collection: &mongodb::Collection<Document>, id: Id, day: DateTime) {
    let filter = doc! { "_id": id.to_string() };
    let set = doc! { "$set": { "create_time": day } };
    let set = collection.update_one(filter, set).await.unwrap();
    assert_eq!(set.matched_count, 1);
}
