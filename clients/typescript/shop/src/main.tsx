import { render } from "preact";

import { App } from "./app.tsx";
import { followOrders } from "./orders.ts";

followOrders();
render(<App />, document.getElementById("shop")!);
