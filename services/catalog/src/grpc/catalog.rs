use orderflow_chassis::task::{self, to_completion};
use orderflow_contract::{Id, Invalid, page, text, time::timestamp};
use orderflow_faults::At;
use orderflow_identity::User;
use orderflow_mongo::keyset::Direction::{Ascending, Descending};
use orderflow_proto::catalog::v1::{self as pb, catalog_service_server::CatalogService};
use prost::Message;
use tonic::{Request, Response, Status};

use super::money;
use crate::{
    app::Catalog,
    domain::{self, Adjustment, Change, Draft, MAX_STOCK, Product},
    steps::Step,
    store::{Listing, Order, Row},
};

const MAX_BATCH: usize = 100;

/// `CatalogService` over a catalog.
pub(crate) struct CatalogGrpc(pub(crate) Catalog);

#[tonic::async_trait]
impl CatalogService for CatalogGrpc {
    async fn create_product(
        &self,
        request: Request<pb::CreateProductRequest>,
    ) -> Result<Response<pb::CreateProductResponse>, Status> {
        let user = User::of(&request)?;
        let request = request.into_inner();
        let mut invalid = Invalid::new();
        let name = invalid.take("name", domain::name(&request.name));
        let description = invalid.take("description", domain::description(&request.description));
        let price = money::price(&mut invalid, "price", request.price.as_ref());
        let stock = invalid.take("stock", text::integer(request.stock, 0..=MAX_STOCK));
        let request_id = invalid.take("request_id", text::request_id(&request.request_id));
        let (draft, request_id) = invalid.finish(|| {
            let draft = Draft {
                name: name?,
                description: description?,
                price: price?,
                stock: stock?,
            };
            Some((draft, request_id?))
        })?;

        let creating = self.0.create_product(user.id, draft, request_id);
        let product = creating.at(Step::CreateProduct).await?;
        Ok(Response::new(pb::CreateProductResponse {
            product: Some(encode(product)),
        }))
    }

    async fn get_product(
        &self,
        request: Request<pb::GetProductRequest>,
    ) -> Result<Response<pb::GetProductResponse>, Status> {
        let id = product_id("id", &request.get_ref().id)?;
        let product = self.0.get_product(id).await?;
        Ok(Response::new(pb::GetProductResponse {
            product: Some(encode(product)),
        }))
    }

    async fn batch_get_products(
        &self,
        request: Request<pb::BatchGetProductsRequest>,
    ) -> Result<Response<pb::BatchGetProductsResponse>, Status> {
        let ids = &request.get_ref().ids;
        if !(1..=MAX_BATCH).contains(&ids.len()) {
            return Err(Invalid::field("ids", format!("must be 1 to {MAX_BATCH} ids")).into());
        }
        let mut invalid = Invalid::new();
        let parse = |(i, id): (usize, &String)| invalid.take(format!("ids[{i}]"), id.parse::<Id>());
        let ids: Vec<_> = ids.iter().enumerate().map(parse).collect();
        let ids: Vec<_> = invalid.finish(|| ids.into_iter().collect())?;

        let catalog = self.0.clone();
        let found = task::read(async move { catalog.batch_get_products(&ids).await });
        let (products, missing) = found.await??;
        Ok(Response::new(pb::BatchGetProductsResponse {
            products: products.into_iter().map(encode).collect(),
            missing_ids: missing.iter().map(Id::to_string).collect(),
        }))
    }

    async fn list_products(
        &self,
        request: Request<pb::ListProductsRequest>,
    ) -> Result<Response<pb::ListProductsResponse>, Status> {
        let request = request.into_inner();
        let pages = pages(&request);
        let listing = listing(request, &pages)?;
        let (catalog, of) = (self.0.clone(), listing.clone());
        let found = task::read(async move { catalog.list_products(&of).await }).await??;
        let encoded = found
            .into_iter()
            .map(|(product, position)| (encode(product), position));
        let (products, more) = page::cut(encoded.collect(), listing.size, |(product, _)| {
            product.encoded_len()
        });
        let last = products.last().filter(|_| more);
        Ok(Response::new(pb::ListProductsResponse {
            next_page_token: last.map_or_else(String::new, |(_, position)| pages.token(position)),
            products: products.into_iter().map(|(product, _)| product).collect(),
        }))
    }

    async fn update_product(
        &self,
        request: Request<pb::UpdateProductRequest>,
    ) -> Result<Response<pb::UpdateProductResponse>, Status> {
        let user = User::of(&request)?;
        let (id, etag, change) = change(request.into_inner())?;
        let catalog = self.0.clone();
        let update = async move { catalog.update_product(&user, id, &etag, &change).await };
        let product = to_completion(update).await??;
        Ok(Response::new(pb::UpdateProductResponse {
            product: Some(encode(product)),
        }))
    }

    async fn delete_product(
        &self,
        request: Request<pb::DeleteProductRequest>,
    ) -> Result<Response<pb::DeleteProductResponse>, Status> {
        let user = User::of(&request)?;
        let request = request.into_inner();
        let id = product_id("id", &request.id)?;
        let catalog = self.0.clone();
        let delete = async move { catalog.delete_product(&user, id, &request.etag).await };
        to_completion(delete).await??;
        Ok(Response::new(pb::DeleteProductResponse {}))
    }

    async fn adjust_stock(
        &self,
        request: Request<pb::AdjustStockRequest>,
    ) -> Result<Response<pb::AdjustStockResponse>, Status> {
        let user = User::of(&request)?;
        let request = request.into_inner();
        let mut invalid = Invalid::new();
        let product_id = invalid.take("product_id", request.product_id.parse());
        let delta = match request.delta {
            0 => Err("must not be 0".to_owned()),
            delta => text::integer(delta, -MAX_STOCK..=MAX_STOCK),
        };
        let delta = invalid.take("delta", delta);
        let reason = invalid.take("reason", text::line(&request.reason, 1..=200));
        let request_id = invalid.take("request_id", text::request_id(&request.request_id));
        let (adjustment, request_id) = invalid.finish(|| {
            let adjustment = Adjustment {
                product_id: product_id?,
                delta: delta?,
                reason: reason?,
            };
            Some((adjustment, request_id?))
        })?;

        let adjusting = self.0.adjust_stock(user, adjustment, request_id);
        let (product, row) = adjusting.at(Step::AdjustStock).await?;
        Ok(Response::new(pb::AdjustStockResponse {
            product: Some(encode(product)),
            adjustment: Some(encode_row(row)),
        }))
    }
}

fn product_id(field: &str, text: &str) -> Result<Id, Invalid> {
    text.parse().map_err(|error| Invalid::field(field, error))
}

/// The list that the tokens of this request belong to.
fn pages(request: &pb::ListProductsRequest) -> page::List {
    let rest = pb::ListProductsRequest {
        page_size: 0,
        page_token: String::new(),
        ..request.clone()
    };
    page::List::of(&[b"ListProducts", &rest.encode_to_vec()])
}

fn listing(request: pb::ListProductsRequest, pages: &page::List) -> Result<Listing, Invalid> {
    let mut invalid = Invalid::new();
    let size = invalid.take("page_size", page::size(request.page_size));
    let behind = invalid.take("page_token", pages.position(&request.page_token));
    let query = text::line(&request.query, 0..=200);
    let words = invalid.take("query", query).map(|query| words(&query));
    let owner_id = match request.owner_id.as_str() {
        "" => Some(None),
        id => invalid.take("owner_id", id.parse()).map(Some),
    };
    let range = request.price_range.unwrap_or_default();
    let is_bounded = range.min_minor_units.is_some() || range.max_minor_units.is_some();
    let currency = match range.currency_code.as_str() {
        "" if !is_bounded => Some(None),
        code => invalid
            .take("price_range.currency_code", text::currency_code(code))
            .map(Some),
    };
    if let (Some(min), Some(max)) = (range.min_minor_units, range.max_minor_units)
        && min > max
    {
        invalid.add("price_range", "must not begin above its end");
    }
    let is_search = !request.query.is_empty();
    let order = match request.order_by.trim() {
        "" if is_search => Ok(Order::Relevance),
        "relevance" if is_search => Ok(Order::Relevance),
        "" | "create_time desc" => Ok(Order::CreateTime(Descending)),
        "create_time" => Ok(Order::CreateTime(Ascending)),
        "price" => Ok(Order::Price(Ascending)),
        "price desc" => Ok(Order::Price(Descending)),
        "relevance" => Err("relevance needs a query"),
        _ => Err("must be create_time or price, with or without desc, or relevance"),
    };
    let order = invalid.take("order_by", order);
    invalid.finish(|| {
        Some(Listing {
            words: is_search.then_some(words?),
            owner_id: owner_id?,
            currency: currency?,
            min_price: range.min_minor_units,
            max_price: range.max_minor_units,
            in_stock: request.in_stock,
            order: order?,
            behind: behind?,
            size: size?,
        })
    })
}

/// The words of a query. MongoDB reads more than words into one (`-without`, `"a phrase"`): everything else is left out.
fn words(query: &str) -> String {
    let words: Vec<_> = query
        .split(|c: char| !c.is_alphanumeric())
        .filter(|w| !w.is_empty())
        .collect();
    words.join(" ")
}

fn change(request: pb::UpdateProductRequest) -> Result<(Id, String, Change), Invalid> {
    let mut invalid = Invalid::new();
    let product = request.product.unwrap_or_default();
    let id = invalid.take("product.id", product.id.parse());
    let fields: Vec<_> = match &request.update_mask {
        // The etag says what is to be changed, and is itself no change: a mask that is made of all that was sent has it.
        Some(mask) if !mask.paths.is_empty() => {
            let paths = mask.paths.iter().filter(|path| *path != "etag");
            paths.cloned().collect()
        }
        // Without a mask: what is not empty.
        _ => [
            ("name", !product.name.is_empty()),
            ("description", !product.description.is_empty()),
            ("price", product.price.is_some()),
        ]
        .iter()
        .filter(|(_, is_set)| *is_set)
        .map(|(field, _)| (*field).to_owned())
        .collect(),
    };
    let mut change = Change::default();
    for field in &fields {
        match field.as_str() {
            "name" => change.name = invalid.take("product.name", domain::name(&product.name)),
            "description" => {
                let description = domain::description(&product.description);
                change.description = invalid.take("product.description", description);
            }
            "price" => {
                change.price = money::price(&mut invalid, "product.price", product.price.as_ref());
            }
            "stock" => invalid.add("update_mask", "stock is changed by AdjustStock alone"),
            other => {
                let known = "only name, description and price can be changed";
                invalid.add(
                    "update_mask",
                    format!("{known}, not {}", other.escape_debug()),
                );
            }
        }
    }
    if fields.is_empty() {
        invalid.add("update_mask", "nothing to change");
    }
    invalid.finish(|| Some((id?, product.etag, change)))
}

fn encode(product: Product) -> pb::Product {
    pb::Product {
        id: product.id.to_string(),
        etag: product.etag(),
        name: product.name,
        description: product.description,
        price: Some(money::encode(product.price)),
        stock: product.stock,
        owner_id: product.owner_id.to_string(),
        create_time: Some(timestamp(product.create_time_ms)),
        update_time: Some(timestamp(product.update_time_ms)),
    }
}

fn encode_row(row: Row) -> pb::StockAdjustment {
    pb::StockAdjustment {
        id: row.id.to_string(),
        product_id: row.product_id.to_string(),
        delta: row.delta,
        reason: row.reason,
        user_id: row.user_id.to_string(),
        create_time: Some(timestamp(row.create_time.timestamp_millis())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_words_and_nothing_else() {
        assert_eq!(words("çay -bardak"), "çay bardak");
        assert_eq!(words("(a+)+$"), "a");
        assert_eq!(words(r#""$where" {$gt: 1}"#), "where gt 1");
        assert_eq!(words("$$$"), "");
    }

    #[test]
    fn a_listing_names_every_wrong_field() {
        let request = pb::ListProductsRequest {
            page_size: -1,
            page_token: "x".to_owned(),
            owner_id: "$gt".to_owned(),
            order_by: "stock".to_owned(),
            price_range: Some(pb::PriceRange {
                currency_code: String::new(),
                min_minor_units: Some(2),
                max_minor_units: Some(1),
            }),
            ..Default::default()
        };
        let invalid = listing(request.clone(), &pages(&request)).unwrap_err();
        let fields: Vec<_> = invalid
            .violations()
            .iter()
            .map(|v| v.field.as_str())
            .collect();
        assert_eq!(
            fields,
            [
                "page_size",
                "page_token",
                "owner_id",
                "price_range.currency_code",
                "price_range",
                "order_by"
            ]
        );
    }

    #[test]
    fn a_change_takes_what_the_mask_says() {
        let request = |paths: &[&str]| pb::UpdateProductRequest {
            product: Some(pb::Product {
                id: Id::random().to_string(),
                name: "tea".to_owned(),
                ..Default::default()
            }),
            update_mask: Some(prost_types::FieldMask {
                paths: paths.iter().map(|path| (*path).to_owned()).collect(),
            }),
        };
        let (_, _, only_name) = change(request(&[])).unwrap();
        assert_eq!(only_name.name.as_deref(), Some("tea"));
        assert_eq!(only_name.description, None);
        let (_, _, emptied) = change(request(&["description"])).unwrap();
        assert_eq!(
            (emptied.name, emptied.description.as_deref()),
            (None, Some(""))
        );
        let (_, _, with_etag) = change(request(&["name", "etag"])).unwrap();
        assert_eq!(with_etag.name.as_deref(), Some("tea"));
        for wrong in ["stock", "owner_id", "price", "$set", "etag"] {
            assert!(change(request(&[wrong])).is_err(), "{wrong}");
        }
    }
}
