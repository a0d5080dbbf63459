// What the browser runs: the flow, by gRPC-Web, each line to the console.
import { connect } from "../src/web.js";
import { run, type Step } from "./flow.js";

declare global {
  var flow: (address: string, file: string) => Promise<void>;
}

globalThis.flow = async (address, file) => {
  const { steps } = JSON.parse(file) as { steps: Step[] };
  await run(connect, address, steps, (line) => console.log(line));
};
