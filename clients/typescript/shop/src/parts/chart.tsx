// Bars by day, as wide as there is room. The table beside it says the same in words.
import { useLayoutEffect, useRef, useState } from "preact/hooks";

import { formatDay } from "../days.ts";
import { formatMoney, formatRound } from "../money.ts";

export interface Bar {
  day: string;
  minorUnits: bigint;
}

interface ChartProps {
  bars: Bar[];
  currencyCode: string;
  /** What it shows, in a sentence. */
  label: string;
}

const HEIGHT = 260;
const LEFT = 76;
const RIGHT = 20;
const BOTTOM = 28;
const TOP = 12;
const GRID = 4;
/** The room that the name of a day takes. */
const DAY = 64;

/** The next number that is easy to read: 1, 2 or 5 times a power of ten. */
function round(least: number): number {
  const power = 10 ** Math.floor(Math.log10(least));
  return power * ([1, 2, 5].find((step) => step * power >= least) ?? 10);
}

/** How wide an element is, as it changes. */
function useWidth() {
  const ref = useRef<SVGSVGElement>(null);
  const [width, setWidth] = useState(320);
  useLayoutEffect(() => {
    const measured = ref.current;
    if (!measured) return;
    const observer = new ResizeObserver(() => setWidth(Math.max(measured.clientWidth, 160)));
    observer.observe(measured);
    return () => observer.disconnect();
  }, []);
  return { ref, width };
}

export function Chart({ bars, currencyCode, label }: ChartProps) {
  const { ref, width } = useWidth();
  const most = bars.reduce((most, { minorUnits }) => (minorUnits > most ? minorUnits : most), 0n);
  const step = round(Math.max(Number(most) / GRID, 1));
  const top = step * Math.max(1, Math.ceil(Number(most) / step));
  const lines = Array.from({ length: Math.round(top / step) + 1 }, (_, n) => n * step);

  const height = HEIGHT - TOP - BOTTOM;
  const y = (minorUnits: number) => TOP + height - (minorUnits / top) * height;
  const slot = (width - LEFT - RIGHT) / Math.max(bars.length, 1);
  const gap = Math.min(slot * 0.25, 12);
  const labelEvery = Math.max(1, Math.ceil(DAY / slot));
  return (
    <svg ref={ref} class="chart" height={HEIGHT} viewBox={`0 0 ${width} ${HEIGHT}`} role="img" aria-label={label}>
      {lines.map((minorUnits) => (
        <g key={minorUnits}>
          <line class="grid" x1={LEFT} x2={width - RIGHT} y1={y(minorUnits)} y2={y(minorUnits)} />
          <text x={LEFT - 8} y={y(minorUnits)} text-anchor="end" dominant-baseline="central">
            {formatRound({ currencyCode, minorUnits: BigInt(Math.round(minorUnits)) })}
          </text>
        </g>
      ))}
      {bars.map(({ day, minorUnits }, n) => (
        <g key={day}>
          <rect
            class="bar"
            x={LEFT + n * slot + gap / 2}
            width={slot - gap}
            y={y(Number(minorUnits))}
            height={(Number(minorUnits) / top) * height}
            rx={Math.min(3, (slot - gap) / 2)}
          >
            <title>{`${formatDay(day)}: ${formatMoney({ currencyCode, minorUnits })}`}</title>
          </rect>
          {(bars.length - 1 - n) % labelEvery === 0 && (
            <text x={LEFT + (n + 0.5) * slot} y={HEIGHT - 8} text-anchor="middle">
              {formatDay(day)}
            </text>
          )}
        </g>
      ))}
    </svg>
  );
}
