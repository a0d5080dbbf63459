// The flow of ../../FLOW.md, the same in Node and in browsers.
import { fromJson, toJson, type DescMessage, type JsonObject, type JsonValue, type MessageShape } from "@bufbuild/protobuf";

import {
  CancelOrderRequestSchema,
  Code,
  ConnectError,
  CreateOrderRequestSchema,
  CreateProductRequestSchema,
  failure,
  GetMeRequestSchema,
  GetOrderStatsRequestSchema,
  ListOrdersRequestSchema,
  ListProductsRequestSchema,
  LoginRequestSchema,
  OrderSchema,
  OrderStatus,
  ProductSchema,
  RegisterRequestSchema,
  UpdateOrderStatusRequestSchema,
  UserSchema,
  WatchOrdersRequestSchema,
  type Credentials,
  type Options,
  type OrderFlow,
  type WatchOrdersResponse,
} from "../src/index.js";
import { LostAnswer } from "./lost_answer.js";

export interface Step {
  step: string;
  as: "nobody" | "seller" | "buyer";
  request?: JsonObject;
  names?: string;
  timeout_ms?: number;
}

type Connect = (address: string, options: Options) => OrderFlow;

/** Runs the steps against the gateway at this address, and hands over the line of each when it is over. */
export async function run(connect: Connect, address: string, steps: Step[], print: (line: string) => void) {
  const flow = new Flow((options) => connect(address, options));
  for (const step of steps) print(await flow.line(step));
}

class Flow {
  readonly #variables = new Map<string, string>();
  readonly #lost = new LostAnswer();
  readonly #clients: Record<Step["as"], OrderFlow>;
  readonly #credentials = new Map<Step["as"], Credentials>();
  #watch: AsyncIterator<WatchOrdersResponse> | undefined;

  constructor(connect: (options: Options) => OrderFlow) {
    const digits = crypto.getRandomValues(new Uint8Array(8));
    this.#variables.set("$run", Array.from(digits, (byte) => byte.toString(16).padStart(2, "0")).join(""));
    this.#clients = {
      nobody: connect({}),
      seller: connect({}),
      buyer: connect({ interceptors: [this.#lost.interceptor] }),
    };
  }

  /** Runs one step and says what came of it. */
  async line(step: Step): Promise<string> {
    const outcome = await this.#result(step).then(
      (result) => ({ code: "OK", result }),
      (error: unknown) => refusal(step, error),
    );
    let line = JSON.stringify({ step: step.step, ...outcome });
    for (const [name, value] of this.#variables) line = line.replaceAll(value, name);
    return line;
  }

  async #result(step: Step): Promise<JsonValue> {
    const client = await this.#client(step.as);
    const request = <D extends DescMessage>(schema: D) => this.#request(schema, step);
    switch (step.step) {
      case "register-seller":
      case "register-buyer": {
        const registration = request(RegisterRequestSchema);
        const { user } = await client.users.register(registration);
        this.#credentials.set(step.step === "register-seller" ? "seller" : "buyer", registration);
        return this.#named(step, pick(UserSchema, user, "id", "name", "email"));
      }
      case "login": {
        const { tokenType } = await client.users.login(request(LoginRequestSchema));
        return { token_type: tokenType };
      }
      case "no-token":
      case "get-me": {
        const { user } = await client.users.getMe(request(GetMeRequestSchema));
        return pick(UserSchema, user, "id", "name", "email");
      }
      case "create-glass":
      case "create-samovar":
      case "create-garden": {
        const { product } = await client.catalog.createProduct(request(CreateProductRequestSchema));
        return this.#named(step, pick(ProductSchema, product, "id", "name", "price", "stock", "owner_id"));
      }
      case "list-products": {
        const pages: JsonValue[] = [];
        const wanted = request(ListProductsRequestSchema);
        do {
          const page = await client.catalog.listProducts(wanted);
          pages.push(page.products.map((product) => pick(ProductSchema, product, "id", "name")));
          wanted.pageToken = page.nextPageToken;
        } while (wanted.pageToken !== "");
        return pages;
      }
      case "watch-opens": {
        this.#watch = client.orders.watchOrders(request(WatchOrdersRequestSchema))[Symbol.asyncIterator]();
        const first = await this.#watch.next();
        if (first.done) throw new Error("the watch has ended");
        return { order: first.value.order ? pick(OrderSchema, first.value.order, "id", "status") : null };
      }
      case "create-order":
        this.#lost.loseNext();
        return this.#createOrder(client, step);
      case "bad-order":
      case "refused-order":
      case "create-large-order":
        return this.#createOrder(client, step);
      case "ship-order": {
        const { order } = await client.orders.updateOrderStatus(request(UpdateOrderStatusRequestSchema));
        return pick(OrderSchema, order, "id", "status");
      }
      case "watch-tells":
        return this.#told();
      case "list-orders": {
        const pages: JsonValue[] = [];
        const wanted = request(ListOrdersRequestSchema);
        do {
          const page = await client.orders.listOrders(wanted);
          pages.push(page.orders.map((order) => pick(OrderSchema, order, "id", "total_price", "status")));
          wanted.pageToken = page.nextPageToken;
        } while (wanted.pageToken !== "");
        return pages;
      }
      case "order-stats": {
        const { days } = await client.orders.getOrderStats(request(GetOrderStatsRequestSchema));
        const sums = new Map<string, { orders: bigint; revenue: bigint }>();
        for (const { orders, revenue } of days) {
          const currency = revenue?.currencyCode ?? "";
          const sum = sums.get(currency) ?? { orders: 0n, revenue: 0n };
          sums.set(currency, { orders: sum.orders + orders, revenue: sum.revenue + (revenue?.minorUnits ?? 0n) });
        }
        return Array.from(sums, ([currency, { orders, revenue }]) => ({
          orders: String(orders),
          revenue: { currency_code: currency, minor_units: String(revenue) },
        }));
      }
      case "cancel-refused": {
        const { order } = await client.orders.cancelOrder(request(CancelOrderRequestSchema));
        return pick(OrderSchema, order, "id", "status");
      }
      case "idle-watch": {
        const orders: JsonValue[] = [];
        const options = { timeoutMs: step.timeout_ms ?? 0 };
        for await (const { order } of client.orders.watchOrders(request(WatchOrdersRequestSchema), options)) {
          if (order) orders.push(pick(OrderSchema, order, "id", "status"));
        }
        return orders;
      }
      default:
        throw new Error(`nobody knows how to ${step.step}`);
    }
  }

  async #createOrder(client: OrderFlow, step: Step): Promise<JsonValue> {
    const before = this.#lost.sent;
    const { order } = await client.orders.createOrder(this.#request(CreateOrderRequestSchema, step));
    const attempts = this.#lost.sent - before;
    if (step.step === "create-order" && order) this.#variables.set("$request", order.requestId);
    const shown = pick(OrderSchema, order, "id", "user_id", "lines", "total_price", "status", "request_id");
    return { attempts, order: this.#named(step, shown) };
  }

  /** What the open watch brings, up to the first order that is on its way. */
  async #told(): Promise<JsonValue> {
    const orders: JsonValue[] = [];
    for (let shipped = false; this.#watch && !shipped; ) {
      const next = await this.#watch.next();
      if (next.done) break;
      const { order } = next.value;
      if (order) orders.push(pick(OrderSchema, order, "id", "status"));
      shipped = order?.status === OrderStatus.SHIPPED;
    }
    await this.#watch?.return?.();
    return orders;
  }

  /** A client who has signed in, once it has something to sign in with. */
  async #client(as: Step["as"]): Promise<OrderFlow> {
    const credentials = this.#credentials.get(as);
    if (credentials) await this.#clients[as].signIn(credentials);
    this.#credentials.delete(as);
    return this.#clients[as];
  }

  #request<D extends DescMessage>(schema: D, step: Step): MessageShape<D> {
    let text = JSON.stringify(step.request ?? {});
    for (const [name, value] of this.#variables) text = text.replaceAll(name, value);
    return fromJson(schema, JSON.parse(text) as JsonValue);
  }

  #named(step: Step, result: JsonObject): JsonObject {
    if (step.names !== undefined) this.#variables.set(`$${step.names}`, String(result["id"]));
    return result;
  }
}

function refusal(step: Step, error: unknown): JsonObject {
  if (!(error instanceof ConnectError)) console.error(error);
  const { code, reason, fields, preconditions } = failure(error);
  return {
    code: nameOf(code),
    ...(step.step !== "idle-watch" && { reason }),
    ...(fields.length > 0 && { fields: fields.map(({ field }) => field) }),
    ...(preconditions.length > 0 && { violations: preconditions.map(({ type, subject }) => ({ type, subject })) }),
  };
}

/** gRPC's name of a code: INVALID_ARGUMENT for InvalidArgument. */
function nameOf(code: Code): string {
  if (code === Code.Canceled) return "CANCELLED";
  return (Code[code] ?? "").replace(/(?<=[a-z])[A-Z]/g, "_$&").toUpperCase();
}

/** These fields of a message, in this order, as ProtoJSON has them. */
function pick<D extends DescMessage>(schema: D, message: MessageShape<D> | undefined, ...fields: string[]): JsonObject {
  if (!message) throw new Error(`an answer without its ${schema.name}`);
  const whole = toJson(schema as DescMessage, message, { useProtoFieldName: true, alwaysEmitImplicit: true }) as JsonObject;
  return Object.fromEntries(fields.map((field) => [field, whole[field] ?? null]));
}
