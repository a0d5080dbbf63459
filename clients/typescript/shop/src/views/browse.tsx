import { useLayoutEffect, useRef } from "preact/hooks";

import { add, isUnsettled } from "../cart.ts";
import { orderflow, type Product } from "../gateway.ts";
import { usePages } from "../loading.ts";
import { formatMoney } from "../money.ts";
import { announce } from "../notices.ts";
import { Empty, More, Page, Shown } from "../parts/page.tsx";
import { Tile } from "../parts/tile.tsx";
import { go, href, route } from "../route.ts";

const PAGE_SIZE = 24;

/** The address of a search. */
function address(data: FormData): string {
  const query = new URLSearchParams();
  for (const [name, value] of data) if (value) query.set(name, String(value));
  return `${href()}?${query}`;
}

export function Browse() {
  const { query } = route.value;
  const words = query.get("q") ?? "";
  const order = query.get("order") ?? "";
  const inStock = query.get("stock") === "yes";
  const pages = usePages(
    async (pageToken, signal) => {
      const { products, nextPageToken } = await orderflow.catalog.listProducts(
        { pageSize: PAGE_SIZE, pageToken, query: words, orderBy: order, ...(inStock && { inStock }) },
        { signal },
      );
      return { items: products, nextPageToken };
    },
    [words, order, inStock],
  );
  // What is being typed is not drawn over when the list comes in, only when there is another search.
  const typed = useRef<HTMLInputElement>(null);
  useLayoutEffect(() => {
    if (typed.current) typed.current.value = words;
  }, [words]);
  const search = (form: HTMLFormElement) => go(address(new FormData(form)));
  return (
    <Page title="Shop">
      <form
        role="search"
        class="search"
        onSubmit={(event) => {
          event.preventDefault();
          search(event.currentTarget);
        }}
      >
        <label class="unseen" for="search">
          Search
        </label>
        <input ref={typed} id="search" type="search" name="q" placeholder="Lamp, copper, tea …" maxLength={200} />
        <button type="submit" class="primary">
          Search
        </button>
        <label class="unseen" for="order">
          Order by
        </label>
        <select id="order" name="order" value={order} onChange={({ currentTarget: { form } }) => form && search(form)}>
          <option value="">{words ? "Best match" : "Newest first"}</option>
          <option value="price">Cheapest first</option>
          <option value="price desc">Dearest first</option>
          {words ? (
            <option value="create_time desc">Newest first</option>
          ) : (
            <option value="create_time">Oldest first</option>
          )}
        </select>
        <label class="check">
          <input
            type="checkbox"
            name="stock"
            value="yes"
            checked={inStock}
            onChange={({ currentTarget: { form } }) => form && search(form)}
          />
          In stock only
        </label>
      </form>
      <Shown of={pages}>
        {({ items, nextPageToken }) => (
          <>
            <p role="status" class="count">
              {counted(items.length, nextPageToken !== "")}
            </p>
            <ul class="products">
              {items.map((product) => (
                <li key={product.id}>
                  <Card product={product} />
                </li>
              ))}
            </ul>
            {items.length === 0 && !words && <Empty>Nobody offers anything yet. Begin under “Sell”.</Empty>}
          </>
        )}
      </Shown>
      <More more={pages.more} isLoading={pages.isLoading} />
    </Page>
  );
}

function counted(products: number, areMore: boolean): string {
  if (products === 0) return "Nothing was found.";
  if (areMore) return `The first ${products} products`;
  return products === 1 ? "1 product" : `${products} products`;
}

function Card({ product }: { product: Product }) {
  return (
    <article class="product">
      <Tile of={product} />
      <h2>
        <a href={href("products", product.id)}>{product.name}</a>
      </h2>
      <p class="price">{formatMoney(product.price)}</p>
      <Stock of={product} />
      <AddButton product={product} quantity={1} />
    </article>
  );
}

export function Stock({ of: { stock } }: { of: Product }) {
  if (stock === 0n) return <p class="stock none">Sold out</p>;
  return stock <= 5n ? (
    <p class="stock few">Only {String(stock)} left</p>
  ) : (
    <p class="stock">{String(stock)} in stock</p>
  );
}

interface AddProps {
  product: Product;
  quantity: number;
}

export function AddButton({ product, quantity }: AddProps) {
  const onClick = () => {
    if (add(product, quantity)) announce(`In your cart: ${quantity} × ${product.name}`, href("cart"));
    else announce("The cart waits for an order to be settled", href("cart"));
  };
  return (
    <button
      type="button"
      class={isUnsettled.value ? "" : "primary"}
      disabled={product.stock === 0n}
      aria-label={`Add to cart: ${product.name}`}
      onClick={onClick}
    >
      Add to cart
    </button>
  );
}
