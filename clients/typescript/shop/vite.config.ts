import { defineConfig } from "vite";

export default defineConfig({
  // Where the gateway serves it.
  base: "/shop/",
  build: {
    // Every browser since 2023; nothing is inlined, since the gateway's content policy lets nothing inline run.
    target: "es2023",
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
  },
});
