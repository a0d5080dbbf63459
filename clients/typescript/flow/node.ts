// Runs the flow in Node, by gRPC. Usage: node node.js <the gateway's URL> <flow.json>
import { readFile } from "node:fs/promises";

import { connect } from "../src/node.js";
import { run, type Step } from "./flow.js";

const [address = "", file = ""] = process.argv.slice(2);
const { steps } = JSON.parse(await readFile(file, "utf8")) as { steps: Step[] };
await run(connect, address, steps, (line) => console.log(line));
