// Runs the flow in a browser, in a page of the site that ORDERFLOW_ORIGIN names: not the gateway's, so the gateway has to allow it.
// Usage: node browser.js <the gateway's URL> <flow.json> <chromium>
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { chromium } from "playwright-core";

const [address = "", file = "", executablePath = ""] = process.argv.slice(2);
const origin = new URL(process.env["ORDERFLOW_ORIGIN"] ?? "");
const flowFile = await readFile(file, "utf8");

const { outputFiles } = await build({
  entryPoints: [fileURLToPath(new URL("page.js", import.meta.url))],
  bundle: true,
  format: "iife",
  write: false,
});
const page = `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><script>${outputFiles[0]?.text}</script>`;
const site = createServer((_, response) => {
  response.writeHead(200, { "content-type": "text/html; charset=utf-8" }).end(page);
});
site.listen(Number(origin.port), origin.hostname);
await once(site, "listening");

const profile = await mkdtemp(join(tmpdir(), "orderflow-flow-"));
try {
  const browser = await chromium.launchPersistentContext(profile, {
    executablePath,
    headless: true,
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
  try {
    const tab = await browser.newPage();
    tab.on("console", (message) => {
      if (message.type() === "log") console.log(message.text());
      else console.error(message.text());
    });
    await tab.goto(origin.href);
    await tab.evaluate(([address, file]) => flow(address, file), [address, flowFile] as const);
    const kept = await tab.evaluate(() => [...Object.keys(localStorage), ...Object.keys(sessionStorage), document.cookie].join());
    if (kept !== "") throw new Error(`the page has left something behind: ${kept}`);
  } finally {
    await browser.close();
  }
} finally {
  site.close();
  await rm(profile, { recursive: true, force: true });
}
