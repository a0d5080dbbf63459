// Drives /docs as a person would: registers, logs in, authorizes, offers a product, orders it and looks at the order.
// Usage: node docs.js <gateway's address> <chromium> <folder for screenshots>
import assert from "node:assert/strict";
import { join } from "node:path";
import { launch, tooWide } from "./browser.js";

const [gateway, executablePath, screenshots] = process.argv.slice(2);
const origin = `http://${gateway}`;
const { browser, wrong, close } = await launch(executablePath, [origin]);
const page = await browser.newPage();

// Opens an operation, fills it in, executes it and gives the answer.
async function call(id, { body, parameters = {}, stay = false } = {}, status = 200) {
  const operation = page.locator(`#operations-${id.split("_")[0]}-${id}`);
  if (!(await operation.locator(".opblock-body").isVisible())) await operation.locator(".opblock-summary-control").click();
  for (const [name, value] of Object.entries(parameters)) {
    await operation.locator(`tr[data-param-name="${name}"] input`).fill(value);
  }
  if (body) {
    const editor = operation.locator("textarea.body-param__text");
    const example = JSON.parse(await editor.inputValue());
    await editor.fill(JSON.stringify(body(example), null, 2));
  }
  const answered = page.waitForResponse((response) => response.url().startsWith(`${origin}/v1/`));
  await operation.locator("button.execute").click();
  const response = await answered;
  assert.equal(response.status(), status, `${id}: ${await response.text()}`);
  await operation.locator(".live-responses-table .response-col_status").filter({ hasText: String(status) }).waitFor();
  const answer = await response.json();
  if (!stay) await operation.locator(".opblock-summary-control").click();
  return answer;
}

async function fits() {
  assert.deepEqual(await tooWide(page), [], "the page is wider than a phone");
}

try {
  await page.goto(origin);
  await page.screenshot({ path: join(screenshots, "home.png") });
  await page.getByRole("link", { name: "/docs" }).click();
  await page.locator(".opblock").first().waitFor();
  await page.screenshot({ path: join(screenshots, "docs.png"), fullPage: true });
  assert.equal(await page.locator(".errors-wrapper").count(), 0, "the document has no errors");

  const email = `ada-${Date.now()}@example.com`;
  await call("UserService_Register", { body: (example) => ({ ...example, email }) });
  const { accessToken } = await call("UserService_Login", { body: (example) => ({ ...example, email }) });

  await page.locator(".auth-wrapper .authorize").click();
  const dialog = page.locator(".modal-ux");
  await dialog.locator("input").fill(accessToken);
  await dialog.getByRole("button", { name: "Apply credentials" }).click();
  await page.screenshot({ path: join(screenshots, "authorize.png") });
  await dialog.getByRole("button", { name: "Close" }).first().click();

  // As the page offers it.
  const { product } = await call("CatalogService_CreateProduct", { body: (example) => example });
  assert.equal(product.name, "Tea glass");
  const placed = await call("OrderService_CreateOrder", {
    body: ({ lines: [line] }) => ({ lines: [{ ...line, productId: product.id }] }),
    parameters: { "Idempotency-Key": "from-the-docs" },
  });
  const { order } = await call("OrderService_GetOrder", {
    parameters: { id: placed.order.id },
    stay: true,
  });
  assert.equal(order.status, "ORDER_STATUS_PENDING");
  assert.equal(order.requestId, "from-the-docs");
  assert.equal(order.lines[0].productName, "Tea glass");

  const seen = page.locator("#operations-OrderService-OrderService_GetOrder .live-responses-table");
  await seen.getByText("ORDER_STATUS_PENDING").first().waitFor();
  await page.locator("#operations-OrderService-OrderService_GetOrder").scrollIntoViewIfNeeded();
  await page.screenshot({ path: join(screenshots, "order.png"), fullPage: true });

  await page.setViewportSize({ width: 390, height: 844 });
  await page.screenshot({ path: join(screenshots, "phone-order.png"), fullPage: true });
  await fits();
  await page.reload();
  await page.locator(".opblock").first().waitFor();
  await page.screenshot({ path: join(screenshots, "phone.png"), fullPage: true });
  await fits();
  await page.goto(origin);
  await fits();

  assert.deepEqual(wrong, []);
  console.log(`an order was placed by hand in /docs; screenshots are in ${screenshots}`);
} catch (error) {
  console.error(wrong);
  await page.screenshot({ path: join(screenshots, "failed.png"), fullPage: true }).catch(() => {});
  throw error;
} finally {
  await close();
}
