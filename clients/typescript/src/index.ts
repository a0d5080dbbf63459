/** What is the same in Node and in browsers. `connect` is in ./node.js and ./web.js. */
export { Code, ConnectError, type CallOptions } from "@connectrpc/connect";

export { failure, isOutcomeUnknown, settles, type Failure } from "./failure.js";
export { OrderFlow, type Options } from "./orderflow.js";
export { newRequestId, type RepeatOptions } from "./repeat.js";
export type { Credentials } from "./session.js";

export * from "./gen/orderflow/catalog/v1/catalog_service_pb.js";
export * from "./gen/orderflow/catalog/v1/product_pb.js";
export * from "./gen/orderflow/money/v1/money_pb.js";
export * from "./gen/orderflow/order/v1/order_pb.js";
export * from "./gen/orderflow/order/v1/order_service_pb.js";
export * from "./gen/orderflow/user/v1/user_pb.js";
export * from "./gen/orderflow/user/v1/user_service_pb.js";
