import { useEffect, useState } from "preact/hooks";

import { newRequestId, orderflow, type Product } from "../gateway.ts";
import { usePages } from "../loading.ts";
import { formatMoney, parseAmount } from "../money.ts";
import { announce } from "../notices.ts";
import { sold } from "../orders.ts";
import { Dialog } from "../parts/dialog.tsx";
import { Field, Form, Submit, useForm } from "../parts/form.tsx";
import { Live } from "../parts/live.tsx";
import { Empty, More, Shown } from "../parts/page.tsx";
import { WrongFields } from "../problem.ts";
import { href } from "../route.ts";
import { user } from "../session.ts";
import { Stock } from "./browse.tsx";
import { SellPage } from "./sell.tsx";

const PAGE_SIZE = 50;
const CURRENCIES = Intl.supportedValuesOf("currency");

/** What one offers, and how much of it is there. */
export function StockPage() {
  const ownerId = user.value?.id ?? "";
  const pages = usePages(
    async (pageToken, signal) => {
      const request = { ownerId, pageToken, pageSize: PAGE_SIZE };
      const { products, nextPageToken } = await orderflow.catalog.listProducts(request, { signal });
      return { items: products, nextPageToken };
    },
    [ownerId],
  );
  const [isOffering, setOffering] = useState(false);
  const [adjusted, setAdjusted] = useState<Product>();

  const { value, update } = pages;
  const show = (products: Product[]) => {
    const now = new Map(products.map((product) => [product.id, product]));
    update(({ items, ...page }) => ({ ...page, items: items.map((product) => now.get(product.id) ?? product) }));
  };
  // An order has taken from the stock, or given back.
  const changes = sold.value.changes.value;
  useEffect(() => {
    if (!changes || !value?.items.length) return;
    const stop = new AbortController();
    const ids = value.items.map(({ id }) => id).slice(0, 100);
    orderflow.catalog.batchGetProducts({ ids }, { signal: stop.signal }).then(
      ({ products }) => show(products),
      // The next change brings it.
      () => {},
    );
    return () => stop.abort();
  }, [changes]);

  return (
    <SellPage title="Stock" aside={<Live />}>
      <p class="first">
        <button type="button" class="primary" onClick={() => setOffering(true)}>
          Offer a product
        </button>
      </p>
      <Shown of={pages}>
        {({ items }) =>
          items.length === 0 ? (
            <Empty>You offer nothing yet.</Empty>
          ) : (
            <ul class="orders">
              {items.map((product) => (
                <li key={product.id}>
                  <Row product={product} onAdjust={() => setAdjusted(product)} />
                </li>
              ))}
            </ul>
          )
        }
      </Shown>
      <More more={pages.more} isLoading={pages.isLoading} />
      {isOffering && (
        <Dialog title="Offer a product" onClose={() => setOffering(false)}>
          <Offer
            onDone={(product) => {
              setOffering(false);
              update(({ items, ...page }) => ({ ...page, items: [product, ...items] }));
              announce(`Offered: ${product.name}`);
            }}
          />
        </Dialog>
      )}
      {adjusted && (
        <Dialog title={`Stock of ${adjusted.name}`} onClose={() => setAdjusted(undefined)}>
          <Adjust
            product={adjusted}
            onDone={(product) => {
              setAdjusted(undefined);
              show([product]);
              announce(`${product.stock} of ${product.name} now`);
            }}
          />
        </Dialog>
      )}
    </SellPage>
  );
}

function Row({ product, onAdjust }: { product: Product; onAdjust: () => void }) {
  return (
    <article class="card order">
      <h2>
        <a href={href("products", product.id)}>{product.name}</a>
      </h2>
      <p class="price">{formatMoney(product.price)}</p>
      <Stock of={product} />
      <div class="actions">
        <button type="button" aria-label={`Adjust stock of ${product.name}`} onClick={onAdjust}>
          Adjust stock
        </button>
      </div>
    </article>
  );
}

/** A whole number, as typed. */
function whole(data: FormData, name: string): bigint {
  const text = String(data.get(name)).trim();
  if (!/^[+-]?\d+$/.test(text)) throw new WrongFields({ [name]: "A whole number, please." });
  return BigInt(text);
}

function Offer({ onDone }: { onDone: (product: Product) => void }) {
  // One for what is in this form, however often it is sent.
  const [requestId] = useState(newRequestId);
  const form = useForm(async (data) => {
    const currencyCode = String(data.get("price.currency_code"));
    const minorUnits = parseAmount(String(data.get("price.minor_units")), currencyCode);
    if (minorUnits === undefined) throw new WrongFields({ "price.minor_units": "An amount like 19.99, please." });
    const { product } = await orderflow.catalog.createProduct({
      name: String(data.get("name")),
      description: String(data.get("description")),
      price: { currencyCode, minorUnits },
      stock: whole(data, "stock"),
      requestId,
    });
    if (product) onDone(product);
  });
  return (
    <Form state={form} label="Offer a product">
      <Field state={form} name="name" label="Name" />
      <Field state={form} name="description" label="Description">
        {(attributes) => <textarea rows={3} {...attributes} />}
      </Field>
      <div class="pair">
        <Field state={form} name="price.minor_units" label="Price">
          {(attributes) => <input type="text" inputMode="decimal" autocomplete="off" {...attributes} />}
        </Field>
        <Field state={form} name="price.currency_code" label="Currency">
          {(attributes) => (
            <select {...attributes}>
              {CURRENCIES.map((code) => (
                <option key={code} selected={code === "TRY"}>
                  {code}
                </option>
              ))}
            </select>
          )}
        </Field>
      </div>
      <Field state={form} name="stock" label="Pieces in stock">
        {(attributes) => <input type="text" inputMode="numeric" autocomplete="off" {...attributes} />}
      </Field>
      <Submit state={form}>Offer it</Submit>
    </Form>
  );
}

function Adjust({ product, onDone }: { product: Product; onDone: (product: Product) => void }) {
  const [requestId] = useState(newRequestId);
  const form = useForm(
    async (data) => {
      const { product: now } = await orderflow.catalog.adjustStock({
        productId: product.id,
        delta: whole(data, "delta"),
        reason: String(data.get("reason")),
        requestId,
      });
      if (now) onDone(now);
    },
    { reasons: { STOCK_OUT_OF_RANGE: "delta" } },
  );
  return (
    <Form state={form} label={`Adjust the stock of ${product.name}`}>
      <p>{String(product.stock)} in stock.</p>
      <Field state={form} name="delta" label="Pieces to add" hint="With a minus, to take away." />
      <Field state={form} name="reason" label="Why" hint="For the ledger: delivered, counted, broken …" />
      <Submit state={form}>Adjust</Submit>
    </Form>
  );
}
