import { createClient, type Client, type Interceptor, type Transport } from "@connectrpc/connect";

import {
  AdjustStockRequestSchema,
  CatalogService,
  CreateProductRequestSchema,
} from "./gen/orderflow/catalog/v1/catalog_service_pb.js";
import { CreateOrderRequestSchema, OrderService } from "./gen/orderflow/order/v1/order_service_pb.js";
import { UserService } from "./gen/orderflow/user/v1/user_service_pb.js";
import { REPEAT, repeated, type RepeatOptions } from "./repeat.js";
import { bearer, Session, type Credentials } from "./session.js";
import { resumed } from "./watch.js";

/** What both transports take. */
export interface Options {
  /** How long a unary call may take that does not say it itself. Streams have no limit but their own. */
  timeoutMs?: number;
  /** How calls with a `request_id` are sent again. */
  repeat?: Partial<RepeatOptions>;
  /** How long a watch may be silent until it is taken for broken. By default the server says something every 20 seconds. */
  watchSilenceMs?: number;
  /** More interceptors, outside of the one that adds the token. */
  interceptors?: Interceptor[];
}

export const TIMEOUT_MS = 10_000;

/**
 * The three services behind one gateway, for one user. The clients are the generated ones; but calls that take a
 * `request_id` are sent again under the same one until their outcome is known, and a watch goes on where it was.
 */
export class OrderFlow {
  readonly users: Client<typeof UserService>;
  readonly catalog: Client<typeof CatalogService>;
  readonly orders: Client<typeof OrderService>;
  readonly #session: Session;

  constructor(connect: (interceptors: Interceptor[]) => Transport, options: Options = {}) {
    this.#session = new Session((credentials) => this.users.login(credentials));
    const transport = connect([...(options.interceptors ?? []), bearer(this.#session)]);
    const repeat = { ...REPEAT, ...options.repeat };

    this.users = createClient(UserService, transport);
    const catalog = createClient(CatalogService, transport);
    this.catalog = {
      ...catalog,
      createProduct: repeated(CreateProductRequestSchema, catalog.createProduct, repeat),
      adjustStock: repeated(AdjustStockRequestSchema, catalog.adjustStock, repeat),
    };
    const orders = createClient(OrderService, transport);
    this.orders = {
      ...orders,
      createOrder: repeated(CreateOrderRequestSchema, orders.createOrder, repeat),
      watchOrders: resumed(orders.watchOrders, options.watchSilenceMs),
    };
  }

  /** Logs in, and again before the token expires, until `signOut`. */
  signIn(credentials: Credentials): Promise<void> {
    return this.#session.signIn(credentials);
  }

  /** Forgets the token and the credentials. */
  signOut(): void {
    this.#session.signOut();
  }
}
