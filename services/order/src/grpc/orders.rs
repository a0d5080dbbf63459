use futures::stream::BoxStream;
use orderflow_chassis::task::{self, to_completion};
use orderflow_contract::{Id, Invalid, page, time::timestamp};
use orderflow_faults::At;
use orderflow_identity::{Expiry, User};
use orderflow_proto::{
    money::v1::Money,
    order::v1::{self as pb, order_service_server::OrderService},
};
use prost::Message;
use tonic::{Request, Response, Status as GrpcStatus};

use super::{listing, placement, stats, watching};
use crate::{
    app::Orders,
    domain::{Line, Order, Part, Status},
    steps::Step,
    store::Sales,
};

/// `OrderService` over the orders.
pub(crate) struct OrderGrpc(pub(crate) Orders);

#[tonic::async_trait]
impl OrderService for OrderGrpc {
    async fn create_order(
        &self,
        request: Request<pb::CreateOrderRequest>,
    ) -> Result<Response<pb::CreateOrderResponse>, GrpcStatus> {
        let user = User::of(&request)?;
        let placement = placement::decode(user.id, request.into_inner())?;
        let placed = self.0.place_order(placement).at(Step::Place).await?;
        Ok(Response::new(pb::CreateOrderResponse {
            order: encode(&placed, &user),
        }))
    }

    async fn get_order(
        &self,
        request: Request<pb::GetOrderRequest>,
    ) -> Result<Response<pb::GetOrderResponse>, GrpcStatus> {
        let user = User::of(&request)?;
        let id = order_id(&request.get_ref().id)?;
        let order = self.0.get_order(&user, id).await?;
        Ok(Response::new(pb::GetOrderResponse {
            order: encode(&order, &user),
        }))
    }

    async fn list_orders(
        &self,
        request: Request<pb::ListOrdersRequest>,
    ) -> Result<Response<pb::ListOrdersResponse>, GrpcStatus> {
        let user = User::of(&request)?;
        let request = request.into_inner();
        let pages = listing::pages(&user, &request);
        let listing = listing::decode(&user, &request, &pages)?;
        let (orders, of) = (self.0.clone(), listing.clone());
        let found = task::read(async move { orders.list_orders(&of).await }).await??;
        let encoded = found
            .iter()
            .filter_map(|order| Some((order.id, encode(order, &user)?)));
        let (orders, more) = page::cut(encoded.collect(), listing.size, |(_, order)| {
            order.encoded_len()
        });
        let last = orders.last().filter(|_| more);
        Ok(Response::new(pb::ListOrdersResponse {
            next_page_token: last.map_or_else(String::new, |(id, _)| pages.token(id)),
            orders: orders.into_iter().map(|(_, order)| order).collect(),
        }))
    }

    type WatchOrdersStream = BoxStream<'static, Result<pb::WatchOrdersResponse, GrpcStatus>>;

    async fn watch_orders(
        &self,
        request: Request<pb::WatchOrdersRequest>,
    ) -> Result<Response<Self::WatchOrdersStream>, GrpcStatus> {
        let (user, expiry) = (User::of(&request)?, Expiry::of(&request)?);
        let request = request.into_inner();
        let watched = watching::watched(&user, &request);
        let (whose, behind) = watching::decode(&user, &request, &watched)?;
        let (orders, by) = (self.0.clone(), user.clone());
        let watch = async move { orders.watch_orders(&by, whose, behind, expiry).await };
        let told = to_completion(watch).await??;
        Ok(Response::new(watching::encode_all(told, user, watched)))
    }

    async fn update_order_status(
        &self,
        request: Request<pb::UpdateOrderStatusRequest>,
    ) -> Result<Response<pb::UpdateOrderStatusResponse>, GrpcStatus> {
        let user = User::of(&request)?;
        let request = request.into_inner();
        let mut invalid = Invalid::new();
        let id = invalid.take("id", request.id.parse::<Id>());
        let to = match decode_status(request.status) {
            Ok(to @ (Status::Shipped | Status::Delivered)) => Ok(to),
            Ok(Status::Cancelling | Status::Cancelled) => Err("CancelOrder cancels orders"),
            Ok(Status::Pending) | Err(_) => Err("must be SHIPPED or DELIVERED"),
        };
        let to = invalid.take("status", to);
        let (id, to) = invalid.finish(|| Some((id?, to?)))?;

        let (orders, by) = (self.0.clone(), user.clone());
        let moving = async move { orders.move_order(&by, id, to).at(Step::Move).await };
        let moved = to_completion(moving).await??;
        Ok(Response::new(pb::UpdateOrderStatusResponse {
            order: encode(&moved, &user),
        }))
    }

    async fn cancel_order(
        &self,
        request: Request<pb::CancelOrderRequest>,
    ) -> Result<Response<pb::CancelOrderResponse>, GrpcStatus> {
        let user = User::of(&request)?;
        let id = order_id(&request.get_ref().id)?;
        let (orders, by) = (self.0.clone(), user.clone());
        let cancelling = async move { orders.cancel_order(&by, id).at(Step::Cancel).await };
        let cancelled = to_completion(cancelling).await??;
        Ok(Response::new(pb::CancelOrderResponse {
            order: encode(&cancelled, &user),
        }))
    }

    async fn get_order_stats(
        &self,
        request: Request<pb::GetOrderStatsRequest>,
    ) -> Result<Response<pb::GetOrderStatsResponse>, GrpcStatus> {
        let user = User::of(&request)?;
        let (first, last) = stats::decode(request.get_ref())?;
        let whose = if user.is_admin() {
            Sales::Everybodys
        } else {
            Sales::Of(user.id)
        };
        let orders = self.0.clone();
        let sales = task::read(async move { orders.count_orders(whose, first, last).await });
        let sales = sales.await??.into_iter();
        let rows = sales.flat_map(|(day, rows)| rows.into_iter().map(move |row| (day, row)));
        Ok(Response::new(pb::GetOrderStatsResponse {
            days: rows.map(|(day, row)| stats::encode(day, row)).collect(),
        }))
    }
}

fn order_id(text: &str) -> Result<Id, Invalid> {
    text.parse().map_err(|error| Invalid::field("id", error))
}

pub(super) fn decode_status(status: i32) -> Result<Status, &'static str> {
    match pb::OrderStatus::try_from(status) {
        Ok(pb::OrderStatus::Pending) => Ok(Status::Pending),
        Ok(pb::OrderStatus::Shipped) => Ok(Status::Shipped),
        Ok(pb::OrderStatus::Delivered) => Ok(Status::Delivered),
        Ok(pb::OrderStatus::Cancelling) => Ok(Status::Cancelling),
        Ok(pb::OrderStatus::Cancelled) => Ok(Status::Cancelled),
        Ok(pb::OrderStatus::Unspecified) | Err(_) => Err("is not an order's status"),
    }
}

fn encode_status(status: Status) -> pb::OrderStatus {
    match status {
        Status::Pending => pb::OrderStatus::Pending,
        Status::Shipped => pb::OrderStatus::Shipped,
        Status::Delivered => pb::OrderStatus::Delivered,
        Status::Cancelling => pb::OrderStatus::Cancelling,
        Status::Cancelled => pb::OrderStatus::Cancelled,
    }
}

/// The part of an order that a user may see; `None` if there is none.
pub(super) fn encode(order: &Order, user: &User) -> Option<pb::Order> {
    let part = order.part_for(user)?;
    let is_shown = |line: &&Line| match part {
        Part::Whole => true,
        Part::LinesOf(seller_id) => line.seller_id == seller_id,
    };
    let money = |minor_units| {
        Some(Money {
            currency_code: order.currency.clone(),
            minor_units,
        })
    };
    let encode_line = |line: &Line| pb::OrderLine {
        product_id: line.product_id.to_string(),
        product_name: line.product_name.clone(),
        seller_id: line.seller_id.to_string(),
        quantity: i32::try_from(line.quantity).unwrap_or(i32::MAX),
        unit_price: money(line.unit_price),
        line_total: money(line.total()),
    };
    let shown = || order.lines.iter().filter(is_shown);
    let request_id = order.request_id.clone().filter(|_| part == Part::Whole);
    Some(pb::Order {
        id: order.id.to_string(),
        user_id: order.user_id.to_string(),
        lines: shown().map(encode_line).collect(),
        total_price: money(shown().map(Line::total).sum()),
        status: encode_status(order.status).into(),
        create_time: Some(timestamp(order.create_time_ms)),
        update_time: Some(timestamp(order.update_time_ms)),
        request_id: request_id.unwrap_or_default(),
    })
}
