"""What is printed of a step."""

from typing import Any, TypeAlias

from orderflow import Failure
from orderflow.catalog.v1.product_pb2 import Product
from orderflow.money.v1.money_pb2 import Money
from orderflow.order.v1.order_pb2 import Order, OrderLine, OrderStatus
from orderflow.user.v1.user_pb2 import User

Line: TypeAlias = dict[str, Any]


def explained(failure: Failure) -> Line:
    line: Line = {"code": failure.code.name}
    if failure.reason:
        line["reason"] = failure.reason
    if failure.fields:
        line["fields"] = [violation.field for violation in failure.fields]
    if failure.preconditions:
        line["violations"] = [{"type": v.type, "subject": v.subject} for v in failure.preconditions]
    return line


def user(user: User) -> Line:
    return {"id": user.id, "name": user.name, "email": user.email}


def money(money: Money) -> Line:
    return {"currency_code": money.currency_code, "minor_units": str(money.minor_units)}


def product(product: Product) -> Line:
    return {
        "id": product.id,
        "name": product.name,
        "price": money(product.price),
        "stock": str(product.stock),
        "owner_id": product.owner_id,
    }


def order(order: Order) -> Line:
    return {
        "id": order.id,
        "user_id": order.user_id,
        "lines": [order_line(line) for line in order.lines],
        "total_price": money(order.total_price),
        "status": OrderStatus.Name(order.status),
        "request_id": order.request_id,
    }


def order_line(line: OrderLine) -> Line:
    return {
        "product_id": line.product_id,
        "product_name": line.product_name,
        "seller_id": line.seller_id,
        "quantity": line.quantity,
        "unit_price": money(line.unit_price),
        "line_total": money(line.line_total),
    }


def progress(order: Order) -> Line:
    return {"id": order.id, "status": OrderStatus.Name(order.status)}


def listed(order: Order) -> Line:
    return {"id": order.id, "total_price": money(order.total_price), "status": OrderStatus.Name(order.status)}
