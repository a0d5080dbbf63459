import type { ComponentChildren } from "preact";

import * as cart from "../cart.ts";
import type { Line, Refusal } from "../cart.ts";
import { formatMoney } from "../money.ts";
import { bought } from "../orders.ts";
import { Alert } from "../parts/form.tsx";
import { Empty, Page } from "../parts/page.tsx";
import { Quantity } from "../parts/quantity.tsx";
import { go, href } from "../route.ts";
import { user } from "../session.ts";

export function CartPage() {
  const lines = cart.lines.value;
  return (
    <Page title="Cart">
      {lines.length === 0 ? (
        <Empty>
          Nothing in it yet. <a href={href()}>Look around</a>
        </Empty>
      ) : (
        <div class="cart">
          <ul class="lines">
            {lines.map((line) => (
              <li key={line.productId}>
                <CartLine line={line} refusal={cart.refusals.value.get(line.productId)} />
              </li>
            ))}
          </ul>
          <Summary />
        </div>
      )}
    </Page>
  );
}

function CartLine({ line, refusal }: { line: Line; refusal: Refusal | undefined }) {
  const { productId, name, price, quantity } = line;
  const isFixed = cart.isUnsettled.value;
  return (
    <article class={refusal ? "card line refused" : "card line"}>
      <h2>
        <a href={href("products", productId)}>{name}</a>
      </h2>
      <p class="price">
        {formatMoney({ ...price, minorUnits: price.minorUnits * BigInt(quantity) })}
        {quantity > 1 && <span class="hint"> {formatMoney(price)} each</span>}
      </p>
      <div class="actions">
        <Quantity
          of={name}
          value={quantity}
          isDisabled={isFixed}
          onChange={(wanted) => cart.setQuantity(productId, wanted)}
        />
        <button type="button" disabled={isFixed} aria-label={`Remove ${name}`} onClick={() => cart.remove(productId)}>
          Remove
        </button>
      </div>
      {refusal && <Remedy line={line} refusal={refusal} />}
    </article>
  );
}

/** Why a line cannot be had, and what can be done about it. */
function Remedy({
  line: { productId, name, quantity },
  refusal: { type, description, product },
}: {
  line: Line;
  refusal: Refusal;
}) {
  const left = Number(product?.stock ?? 0n);
  if (type === "INSUFFICIENT_STOCK" && left > 0 && left < quantity) {
    return (
      <Wrong text={`Only ${left} left.`}>
        <button type="button" onClick={() => cart.setQuantity(productId, left)}>{`Take ${left}`}</button>
      </Wrong>
    );
  }
  if (type === "INSUFFICIENT_STOCK") return <Wrong text={left === 0 ? "Sold out." : `Not enough: ${description}.`} />;
  if (type === "PRICE_CHANGED" && product?.price) {
    const price = formatMoney(product.price);
    return (
      <Wrong text={`The price has moved: it is ${price} now.`}>
        <button
          type="button"
          aria-label={`Accept ${price} for ${name}`}
          onClick={() => cart.acceptPrice(product)}
        >{`Accept ${price}`}</button>
      </Wrong>
    );
  }
  if (type === "CURRENCY_MISMATCH") return <Wrong text="One order has one currency: order this on its own." />;
  if (type === "PRODUCT_NOT_FOUND") return <Wrong text="It is no longer offered." />;
  return <Wrong text={`${description}.`} />;
}

function Wrong({ text, children }: { text: string; children?: ComponentChildren }) {
  return (
    <div class="wrong">
      <p>{text}</p>
      {children}
    </div>
  );
}

function Summary() {
  const isPlacing = cart.isPlacing.value;
  const isUnsettled = cart.isUnsettled.value && !isPlacing;
  const isAnothers = cart.isAnothers.value;
  const place = async () => {
    const order = await cart.place();
    if (!order) return;
    bought.value.put(order);
    go(href("orders", order.id));
  };
  return (
    <section class="card summary" aria-labelledby="total">
      <h2 id="total">Total</h2>
      {cart.totals.value.map((total) => (
        <p key={total.currencyCode} class="price">
          {formatMoney(total)}
        </p>
      ))}
      <Alert problem={cart.placingProblem.value} />
      {isUnsettled && isAnothers && (
        <p>
          It is not known whether this order has been placed, and somebody else has sent it. To send it again, sign in as
          they did.
        </p>
      )}
      {isUnsettled && !isAnothers && (
        <p>
          It is not known whether your order has been placed. Send it again: if it has been, it will not be placed
          twice. Before you give it up, look among <a href={href("orders")}>your orders</a>.
        </p>
      )}
      {user.value ? (
        !isAnothers && (
          <button type="button" class="primary" aria-disabled={isPlacing} onClick={place}>
            {isPlacing ? "Placing your order…" : isUnsettled ? "Send it again" : "Place the order"}
          </button>
        )
      ) : (
        <a class="button primary" href={`${href("sign-in")}?then=cart`}>
          Sign in to order
        </a>
      )}
      {isUnsettled && (
        <button type="button" onClick={cart.letGo}>
          Give it up
        </button>
      )}
    </section>
  );
}
