import type { Order } from "../gateway.ts";
import { formatMoney } from "../money.ts";

/** What was ordered, at the prices of that moment. */
export function Lines({ of: { lines, totalPrice } }: { of: Order }) {
  return (
    <table>
      <caption class="unseen">What was ordered</caption>
      <thead>
        <tr>
          <th scope="col">Product</th>
          <th scope="col" class="number">
            Pieces
          </th>
          <th scope="col" class="number">
            Sum
          </th>
        </tr>
      </thead>
      <tbody>
        {lines.map((line) => (
          <tr key={line.productId}>
            <th scope="row">{line.productName}</th>
            <td class="number">{line.quantity}</td>
            <td class="number">{formatMoney(line.lineTotal)}</td>
          </tr>
        ))}
      </tbody>
      <tfoot>
        <tr>
          <th scope="row" colSpan={2}>
            Total
          </th>
          <td class="number">{formatMoney(totalPrice)}</td>
        </tr>
      </tfoot>
    </table>
  );
}
