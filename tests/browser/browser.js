// A browser with a fresh profile, and whatever its pages do that they must not.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

/** Starts one whose pages may load from these origins only. */
export async function launch(executablePath, origins) {
  const profile = mkdtempSync(join(tmpdir(), "orderflow-browser-"));
  const browser = await chromium.launchPersistentContext(profile, {
    executablePath,
    headless: true,
    locale: "en-GB",
    viewport: { width: 1280, height: 900 },
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
  browser.setDefaultTimeout(20_000);

  const wrong = [];
  browser.on("request", (request) => {
    const url = new URL(request.url());
    if (url.protocol !== "data:" && !origins.includes(url.origin)) wrong.push(`a request to ${url}`);
  });
  browser.on("console", (message) => {
    if (message.type() === "error") wrong.push(`an error: ${message.text()}`);
  });
  browser.on("weberror", (error) => wrong.push(`an exception: ${error.error()}`));
  await browser.exposeFunction("violation", (what) => wrong.push(`against the content security policy: ${what}`));
  await browser.addInitScript(() =>
    addEventListener("securitypolicyviolation", (event) =>
      violation(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`),
    ),
  );
  const close = async () => {
    await browser.close();
    rmSync(profile, { recursive: true, force: true });
  };
  return { browser, wrong, close };
}

/** What of a page is wider than the window. */
export function tooWide(page) {
  return page.evaluate(() => {
    if (document.documentElement.scrollWidth <= innerWidth) return [];
    const all = [...document.querySelectorAll("body *")];
    const name = (element) => `${element.tagName}.${element.className}`;
    return all.filter((element) => element.getBoundingClientRect().right > innerWidth).map(name);
  });
}
