// Drives the shop as people would: one sells, one buys, each in a window of their own, and each sees what the other does.
// Every view is looked at in the size of a desk and of a phone, and checked for accessibility, in light and in dark.
// Usage: node shop.js <the shop's URL> <gateway's address> <chromium> <folder for screenshots>
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { launch, tooWide } from "./browser.js";

const [shop, gateway, executablePath, screenshots] = process.argv.slice(2);
const api = `http://${gateway}`;
const { browser, wrong, close } = await launch(executablePath, [new URL(shop).origin, api]);
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const DESK = { width: 1280, height: 900 };
const PHONE = { width: 390, height: 844 };
const run = Date.now().toString(36);
const lamp = `Copper lamp ${run}`;
const PASSWORD = "correct horse";

async function accessible(page, what) {
  if (!(await page.evaluate(() => "axe" in globalThis))) await page.evaluate(axe);
  const { violations } = await page.evaluate(() => axe.run({ resultTypes: ["violations"] }));
  const found = violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(({ html }) => html).join(" ")}`);
  assert.deepEqual(found, [], what);
}

/** Looks at a view in all the ways it is seen in, and leaves the window as it was. */
async function look(page, name) {
  for (const [size, viewport] of [
    ["desk", DESK],
    ["phone", PHONE],
  ]) {
    await page.setViewportSize(viewport);
    for (const colorScheme of ["dark", "light"]) {
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      await accessible(page, `${name}, ${size}, ${colorScheme}`);
      await page.screenshot({ path: join(screenshots, `${name}-${size}-${colorScheme}.png`), fullPage: true });
    }
    assert.deepEqual(await tooWide(page), [], `${name} is wider than a ${size}`);
  }
  await page.setViewportSize(DESK);
}

/** Fills a form in by its labels. */
async function fill(scope, values) {
  for (const [label, value] of Object.entries(values)) await scope.getByLabel(label, { exact: true }).fill(value);
}

const press = (scope, name) => scope.getByRole("button", { name, exact: true }).click();
const follow = (scope, name) => scope.getByRole("link", { name, exact: true }).click();
const see = (scope, text) => scope.getByText(text).first().waitFor();
const heading = (page, name) => page.getByRole("heading", { level: 1, name }).waitFor();

async function register(page, name) {
  const email = `${name.toLowerCase()}-${run}@example.com`;
  await page.getByLabel("E-mail").waitFor();
  await press(page, "Register");
  await heading(page, "Register");
  await fill(page, { Name: name, "E-mail": email, Password: PASSWORD });
  await press(page.getByRole("form"), "Register");
  await page.getByRole("button", { name: "Sign out" }).waitFor();
  return email;
}

/** A call of the API by other hands than the shop's. */
async function call(method, path, body, token) {
  const headers = { "content-type": "application/json", ...(token && { authorization: `Bearer ${token}` }) };
  const response = await fetch(`${api}${path}`, { method, headers, body: JSON.stringify(body) });
  assert.equal(response.status, 200, `${method} ${path}`);
  return response.json();
}

/** What goes wrong in here has to: taken out of what must not. */
async function expecting(pattern, act) {
  const before = wrong.length;
  await act();
  const rest = wrong.splice(before).filter((one) => !pattern.test(one));
  wrong.push(...rest);
}

/** Waits until a field is said to be wrong, to ears as well. */
async function wrongly(field) {
  const invalid = field.and(field.page().locator("[aria-invalid=true]"));
  await invalid.waitFor();
  const says = await invalid.getAttribute("aria-describedby");
  assert.ok(
    await field
      .page()
      .locator(`[id="${says.split(" ").at(-1)}"]`)
      .textContent(),
  );
}

async function signingIn(seller) {
  await seller.goto(`${shop}#/sell`);
  await heading(seller, "Sign in");
  await look(seller, "sign-in");
  await fill(seller, { "E-mail": `nobody-${run}@example.com`, Password: "wrong horse" });
  await press(seller.getByRole("form"), "Sign in");
  await seller.getByRole("alert").locator("p").waitFor();

  await press(seller, "Register");
  await fill(seller, { Name: "Selin", "E-mail": "nothing like it", Password: "short" });
  await press(seller.getByRole("form"), "Register");
  const email = seller.getByLabel("E-mail");
  await see(seller, "Some fields need another look.");
  for (const field of [email, seller.getByLabel("Password")]) await wrongly(field);
  assert.ok(
    await email.evaluate((element) => element === document.activeElement),
    "the first wrong field has the focus",
  );
  await look(seller, "register-wrong");
  await press(seller, "Sign in");
}

async function offering(seller) {
  await heading(seller, "Stock");
  await see(seller, "You offer nothing yet.");
  await press(seller, "Offer a product");
  const dialog = seller.getByRole("dialog");
  await fill(dialog, { Name: lamp, Description: "With a warm light.", Price: "a lot", "Pieces in stock": "3" });
  await press(dialog, "Offer it");
  await see(dialog, "An amount like 19.99, please.");
  await look(seller, "offer-wrong");
  await fill(dialog, { Price: "129,90" });
  await press(dialog, "Offer it");
  await dialog.waitFor({ state: "detached" });

  await press(seller, `Adjust stock of ${lamp}`);
  await fill(dialog, { "Pieces to add": "-9", Why: "" });
  await press(dialog, "Adjust");
  await wrongly(dialog.getByLabel("Why"));
  await fill(dialog, { Why: "Counted" });
  await press(dialog, "Adjust");
  await wrongly(dialog.getByLabel("Pieces to add"));
  await look(seller, "adjust-wrong");
  await fill(dialog, { "Pieces to add": "7", Why: "Delivered" });
  await press(dialog, "Adjust");
  await see(seller, "10 in stock");
  await look(seller, "stock");
}

/** Finds the lamp and puts some of it into the cart. */
async function choosing(buyer, pieces) {
  await follow(buyer, "Shop");
  await fill(buyer, { Search: lamp });
  await buyer.keyboard.press("Enter");
  await buyer.waitForURL(/q=Copper/);
  await see(buyer, lamp);
  assert.ok(await buyer.getByLabel("Search").evaluate((element) => element === document.activeElement));
  await follow(buyer, lamp);
  await heading(buyer, lamp);
  await buyer.getByLabel(`Quantity of ${lamp}`).fill(String(pieces));
  await press(buyer, `Add to cart: ${lamp}`);
  await buyer.getByRole("navigation").getByRole("link", { name: /^Cart/ }).click();
  await heading(buyer, "Cart");
}

/** What is being typed stays when the list comes in. */
async function typing(buyer) {
  const list = "**/orderflow.catalog.v1.CatalogService/ListProducts";
  let letGo;
  const isTyped = new Promise((resolve) => (letGo = resolve));
  await buyer.route(list, async (route) => {
    await isTyped;
    await route.continue();
  });
  await buyer.goto(shop);
  await heading(buyer, "Shop");
  await fill(buyer, { Search: "Copper" });
  letGo();
  await see(buyer, lamp);
  assert.equal(await buyer.getByLabel("Search", { exact: true }).inputValue(), "Copper");
  await buyer.unroute(list);
}

/** Whoever is quicker than the page stays where they are: it takes the focus as it appears, and never later. */
async function hurrying(buyer) {
  await buyer.goto(`${shop}#/cart`);
  await heading(buyer, "Cart");
  const stays = await buyer.evaluate(async () => {
    const appears = new Promise((resolve, reject) => {
      setTimeout(reject, 5_000, new Error("there is nothing to search with"));
      const watching = new MutationObserver(() => {
        const search = document.getElementById("search");
        if (!search) return;
        watching.disconnect();
        search.focus();
        resolve(search);
      });
      watching.observe(document.body, { childList: true, subtree: true });
    });
    location.hash = "#/";
    const search = await appears;
    // Long past whatever the page puts off until it has been painted.
    for (let frames = 0; frames < 30; frames++) await new Promise(requestAnimationFrame);
    return document.activeElement === search;
  });
  assert.ok(stays, "the focus was taken away from who was there first");
}

async function ordering(buyer) {
  await buyer.goto(shop);
  await heading(buyer, "Shop");
  await see(buyer, lamp);
  await look(buyer, "shop");
  await choosing(buyer, 2);
  await look(buyer, "cart");
  // Amounts are exact.
  await see(buyer, /259\.80/);
  await follow(buyer, "Sign in to order");
  await register(buyer, "Bora");
  await heading(buyer, "Cart");
  await press(buyer, "Place the order");
  await heading(buyer, "Order");
  await see(buyer, "Live");
}

/** Each sees at once what the other does. */
async function shipping(buyer, seller) {
  await follow(seller, "Revenue");
  await see(seller, "Nothing was sold in these days.");
  await seller.getByRole("navigation", { name: "Selling" }).getByRole("link", { name: "Orders" }).click();
  await see(seller, "Nobody has ordered yet.");
  await look(seller, "no-orders");
  await typing(buyer);
  await hurrying(buyer);
  await ordering(buyer);
  const sale = seller.getByRole("article").filter({ hasText: lamp });
  await sale.locator("[data-status=PENDING]").waitFor();
  await see(seller, `New order: 2 × ${lamp}`);
  await look(seller, "new-order");
  await look(buyer, "order");
  await press(sale, `Ship 2 × ${lamp}`);
  await buyer.locator("main [data-status=SHIPPED]").waitFor();
  await see(buyer, `On its way: 2 × ${lamp}`);
  await look(buyer, "order-shipped");
  await press(sale, `Delivered: 2 × ${lamp}`);
  await buyer.locator("main [data-status=DELIVERED]").waitFor();

  await follow(seller, "Stock");
  await see(seller, "8 in stock");
  await follow(seller, "Revenue");
  await see(seller, "259.80");
  await seller.getByText("As a table").click();
  await look(seller, "revenue");
}

/** What cannot be had is said of the line, with what can be done. */
async function refusing(buyer, email) {
  const { accessToken } = await call("POST", "/v1/users:login", { email, password: PASSWORD });
  const { products } = await call("GET", `/v1/products?query=${encodeURIComponent(lamp)}`);
  const { id } = products.find(({ name }) => name === lamp);

  await choosing(buyer, 9);
  await press(buyer, "Place the order");
  await see(buyer, "Only 8 left.");
  await look(buyer, "cart-out-of-stock");
  await press(buyer, "Take 8");
  await buyer.getByLabel(`Quantity of ${lamp}`).fill("1");
  await buyer.keyboard.press("Enter");

  await call("PATCH", `/v1/products/${id}`, { price: { currencyCode: "TRY", minorUnits: "9990" } }, accessToken);
  await press(buyer, "Place the order");
  await see(buyer, /The price has moved/);
  await look(buyer, "cart-price-moved");
  await buyer.getByRole("button", { name: /^Accept/ }).click();
  await press(buyer, "Place the order");
  await heading(buyer, "Order");
  await press(buyer, "Cancel the order");
  await buyer.locator("main [data-status=CANCELLED]").waitFor();
}

/** An order whose answers are all lost is placed once. */
async function losing(buyer) {
  const create = "**/orderflow.order.v1.OrderService/CreateOrder";
  let reached = 0;
  await choosing(buyer, 1);
  await expecting(/net::ERR_FAILED/, async () => {
    await buyer.route(create, async (route) => {
      await route.fetch();
      reached++;
      await route.abort();
    });
    await press(buyer, "Place the order");
    await see(buyer, /It is not known whether your order has been placed/);
    await look(buyer, "cart-unsettled");
    await buyer.unroute(create);
  });
  assert.ok(reached > 1, "it was sent again by itself");
  // A reload forgets who is signed in, but not what was sent.
  await buyer.reload();
  const signIn = async (name) => {
    await follow(buyer, "Sign in to order");
    await fill(buyer, { "E-mail": `${name}-${run}@example.com`, Password: PASSWORD });
    await press(buyer.getByRole("form"), "Sign in");
  };
  // Under another name it would be another order.
  await signIn("selin");
  await see(buyer, /somebody else has sent it/);
  assert.equal(await buyer.getByRole("button", { name: "Send it again" }).count(), 0);
  await look(buyer, "cart-of-somebody-else");
  await press(buyer, "Sign out");
  await buyer.getByRole("link", { name: /^Cart/ }).click();
  await signIn("bora");
  await press(buyer, "Send it again");
  await heading(buyer, "Order");
  await follow(buyer, "Orders");
  await heading(buyer, "Your orders");
  await buyer.locator("main li").nth(2).waitFor();
  assert.equal(await buyer.locator("main li").count(), 3, "each order was placed once");
  await look(buyer, "orders");
}

/** A window that was out of sight catches up. */
async function hiding(buyer, seller) {
  const shown = (state) =>
    buyer.evaluate((state) => {
      Object.defineProperty(document, "visibilityState", { value: state, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }, state);
  await shown("hidden");
  await see(buyer, "Connecting…");
  await seller.getByRole("navigation", { name: "Selling" }).getByRole("link", { name: "Orders" }).click();
  await press(seller, `Ship 1 × ${lamp}`);
  await seller.locator("main [data-status=SHIPPED]").waitFor();
  assert.equal(await buyer.locator("main [data-status=SHIPPED]").count(), 0);
  await shown("visible");
  await buyer.locator("main [data-status=SHIPPED]").waitFor();
  await see(buyer, "Live");
}

/** The gateway lets this site call, and no other: not even the same server by another name. */
async function elsewhere() {
  const other = new URL(shop);
  other.hostname = "localhost";
  const page = await browser.newPage();
  await expecting(/CORS policy|net::ERR_FAILED|a request to http:.*localhost/, async () => {
    await page.goto(other.href);
    await see(page, "The shop does not answer.");
  });
  await page.close();
}

const seller = await browser.newPage();
const buyer = await browser.newPage();
try {
  await signingIn(seller);
  const email = await register(seller, "Selin");
  await offering(seller);
  await shipping(buyer, seller);
  await refusing(buyer, email);
  await losing(buyer);
  await hiding(buyer, seller);
  if (new URL(shop).origin !== api) await elsewhere();
  assert.deepEqual(wrong, []);
  console.log(`the shop at ${shop} was used by a buyer and a seller; screenshots are in ${screenshots}`);
} catch (error) {
  console.error(wrong);
  for (const [name, page] of Object.entries({ buyer, seller })) {
    await page.screenshot({ path: join(screenshots, `failed-${name}.png`), fullPage: true }).catch(() => {});
  }
  throw error;
} finally {
  await close();
}
