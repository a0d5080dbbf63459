// The frame around every view, and which view it is.
import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";

import * as cart from "./cart.ts";
import { dismiss, notices } from "./notices.ts";
import { Empty, Page } from "./parts/page.tsx";
import { go, href, route, type Route } from "./route.ts";
import { signOut, user } from "./session.ts";
import { Browse } from "./views/browse.tsx";
import { CartPage } from "./views/cart.tsx";
import { OrderPage } from "./views/order.tsx";
import { OrdersPage } from "./views/orders.tsx";
import { ProductPage } from "./views/product.tsx";
import { RevenuePage } from "./views/revenue.tsx";
import { SalesPage } from "./views/sales.tsx";
import { SignIn } from "./views/sign_in.tsx";
import { StockPage } from "./views/stock.tsx";

/** The view of a path; those that are of somebody's ask who it is first. */
function view({ path: [area = "", second = "", ...others], query }: Route): ComponentChildren {
  if (others.length > 0) return <Nowhere />;
  switch (area) {
    case "":
      return <Browse />;
    case "products":
      return <ProductPage id={second} />;
    case "cart":
      return <CartPage />;
    case "sign-in":
      return <SignedIn then={<Onward to={query.get("then") ?? ""} />} />;
    case "orders":
      return <SignedIn then={second ? <OrderPage id={second} /> : <OrdersPage />} />;
    case "sell":
      return <SignedIn then={SELLING[second] ?? <Nowhere />} />;
    default:
      return <Nowhere />;
  }
}

const SELLING: Record<string, ComponentChildren> = {
  "": <StockPage />,
  orders: <SalesPage />,
  revenue: <RevenuePage />,
};

function SignedIn({ then }: { then: ComponentChildren }) {
  return user.value ? then : <SignIn />;
}

function Onward({ to }: { to: string }) {
  useEffect(() => go(href(to)), []);
  return null;
}

function Nowhere() {
  return (
    <Page title="Nothing here">
      <Empty>
        There is no such page. <a href={href()}>To the shop</a>
      </Empty>
    </Page>
  );
}

export function App() {
  const main = useRef<HTMLElement>(null);
  const path = route.value.path.join("/");
  useLayoutEffect(() => scrollTo(0, 0), [path]);
  const skip = (event: Event) => {
    event.preventDefault();
    main.current?.focus();
  };
  return (
    <>
      <a class="skip" href="#main" onClick={skip}>
        To the content
      </a>
      <Header area={route.value.path[0] ?? ""} />
      <main id="main" ref={main} tabIndex={-1} key={path}>
        {view(route.value)}
      </main>
      <Notices />
    </>
  );
}

function Header({ area }: { area: string }) {
  const link = (to: string, name: ComponentChildren, isHere = area === to) => (
    <li>
      <a href={href(to)} aria-current={isHere ? "page" : undefined}>
        {name}
      </a>
    </li>
  );
  return (
    <header>
      <a class="brand" href={href()}>
        <img src={`${import.meta.env.BASE_URL}icon.svg`} alt="" width={32} height={32} />
        OrderFlow
      </a>
      <nav aria-label="Main">
        <ul>
          {link("", "Shop", area === "" || area === "products")}
          {link("orders", "Orders")}
          {link("sell", "Sell")}
          {link("cart", <Pieces />)}
        </ul>
      </nav>
      <Account />
    </header>
  );
}

function Pieces() {
  const pieces = cart.pieces.value;
  return (
    <>
      Cart{" "}
      {pieces > 0 && (
        <span class="pieces">
          {pieces}
          <span class="unseen"> {pieces === 1 ? "piece" : "pieces"}</span>
        </span>
      )}
    </>
  );
}

function Account() {
  if (!user.value) {
    return (
      <p class="account">
        <a class="button" href={href("sign-in")}>
          Sign in
        </a>
      </p>
    );
  }
  const leave = () => {
    if (!cart.isAnothers.value) cart.empty();
    signOut();
    go(href());
  };
  return (
    <p class="account">
      <span class="who">{user.value.name}</span>
      <button type="button" onClick={leave}>
        Sign out
      </button>
    </p>
  );
}

function Notices() {
  return (
    <div class="notices" role="status">
      {notices.value.map((notice) => (
        <p key={notice.id} class="notice">
          {notice.href ? <a href={notice.href}>{notice.text}</a> : <span>{notice.text}</span>}
          <button type="button" class="quiet" aria-label="Dismiss" onClick={() => dismiss(notice)}>
            ×
          </button>
        </p>
      ))}
    </div>
  );
}
