import { useState } from "preact/hooks";

import { daysBefore, daysBetween, formatDay, today } from "../days.ts";
import { orderflow, type DayStats } from "../gateway.ts";
import { useLoaded } from "../loading.ts";
import { formatMoney } from "../money.ts";
import { sold } from "../orders.ts";
import { Chart } from "../parts/chart.tsx";
import { Live } from "../parts/live.tsx";
import { Empty, Shown } from "../parts/page.tsx";
import { SellPage } from "./sell.tsx";

const SPANS = [7, 30, 90];

/** What one has earned, day by day; it grows as orders come in. */
export function RevenuePage() {
  const [span, setSpan] = useState(30);
  const endDay = today();
  const startDay = daysBefore(endDay, span - 1);
  const loaded = useLoaded(
    async (signal) => (await orderflow.orders.getOrderStats({ startDay, endDay }, { signal })).days,
    [startDay, endDay, sold.value.changes.value],
  );
  return (
    <SellPage title="Revenue" aside={<Live />}>
      <div class="field inline">
        <label for="span">Show</label>
        <select id="span" value={span} onChange={(event) => setSpan(Number(event.currentTarget.value))}>
          {SPANS.map((days) => (
            <option key={days} value={days}>{`The last ${days} days`}</option>
          ))}
        </select>
      </div>
      <Shown of={loaded}>
        {(days) => {
          const currencies = [...new Set(days.map(({ revenue }) => revenue?.currencyCode ?? ""))];
          if (currencies.length === 0) return <Empty>Nothing was sold in these days.</Empty>;
          const all = daysBetween(startDay, endDay);
          return currencies.map((currencyCode) => (
            <Currency
              key={currencyCode}
              currencyCode={currencyCode}
              days={all}
              stats={days.filter(({ revenue }) => revenue?.currencyCode === currencyCode)}
            />
          ));
        }}
      </Shown>
    </SellPage>
  );
}

interface CurrencyProps {
  currencyCode: string;
  days: string[];
  /** Of the days on which something was sold. */
  stats: DayStats[];
}

function Currency({ currencyCode, days, stats }: CurrencyProps) {
  const byDay = new Map(stats.map((one) => [one.day, one]));
  const revenue = (day: string) => byDay.get(day)?.revenue?.minorUnits ?? 0n;
  const total = formatMoney({ currencyCode, minorUnits: days.reduce((sum, day) => sum + revenue(day), 0n) });
  const orders = stats.reduce((sum, one) => sum + one.orders, 0n);
  const label = `Revenue by day in ${currencyCode}, ${days.length} days: ${total} from ${orders} orders`;
  return (
    <section class="card" aria-label={`Revenue in ${currencyCode}`}>
      <dl class="figures">
        <div>
          <dt>Revenue</dt>
          <dd>{total}</dd>
        </div>
        <div>
          <dt>Orders</dt>
          <dd>{String(orders)}</dd>
        </div>
      </dl>
      <Chart currencyCode={currencyCode} label={label} bars={days.map((day) => ({ day, minorUnits: revenue(day) }))} />
      <details>
        <summary>As a table</summary>
        <table>
          <caption class="unseen">{label}</caption>
          <thead>
            <tr>
              <th scope="col">Day</th>
              <th scope="col" class="number">
                Orders
              </th>
              <th scope="col" class="number">
                Revenue
              </th>
            </tr>
          </thead>
          <tbody>
            {stats.toReversed().map((one) => (
              <tr key={one.day}>
                <th scope="row">{formatDay(one.day)}</th>
                <td class="number">{String(one.orders)}</td>
                <td class="number">{formatMoney(one.revenue)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </details>
    </section>
  );
}
