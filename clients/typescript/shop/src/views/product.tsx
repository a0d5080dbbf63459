import { useState } from "preact/hooks";

import { orderflow, type Product } from "../gateway.ts";
import { useLoaded } from "../loading.ts";
import { formatMoney } from "../money.ts";
import { Page, Shown } from "../parts/page.tsx";
import { Quantity } from "../parts/quantity.tsx";
import { Tile } from "../parts/tile.tsx";
import { href } from "../route.ts";
import { user } from "../session.ts";
import { AddButton, Stock } from "./browse.tsx";

export function ProductPage({ id }: { id: string }) {
  const loaded = useLoaded(async (signal) => (await orderflow.catalog.getProduct({ id }, { signal })).product, [id]);
  return (
    <Page title={loaded.value?.name ?? "Product"}>
      <Shown of={loaded}>{(product) => product && <Details product={product} />}</Shown>
    </Page>
  );
}

function Details({ product }: { product: Product }) {
  const [quantity, setQuantity] = useState(1);
  return (
    <div class="details">
      <Tile of={product} />
      <div class="card">
        <p class="description">{product.description || "No description."}</p>
        <p class="price">{formatMoney(product.price)}</p>
        <Stock of={product} />
        <div class="actions">
          <Quantity of={product.name} value={quantity} onChange={setQuantity} />
          <AddButton product={product} quantity={quantity} />
        </div>
        {product.ownerId === user.value?.id && (
          <p>
            You sell this. <a href={href("sell")}>See your stock</a>
          </p>
        )}
      </div>
    </div>
  );
}
