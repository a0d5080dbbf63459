// What all views of a seller have.
import type { ComponentChildren } from "preact";

import { Page } from "../parts/page.tsx";
import { href, route } from "../route.ts";

interface SellProps {
  title: string;
  aside?: ComponentChildren;
  children: ComponentChildren;
}

const VIEWS: [name: string, path: string[]][] = [
  ["Stock", ["sell"]],
  ["Orders", ["sell", "orders"]],
  ["Revenue", ["sell", "revenue"]],
];

export function SellPage({ title, aside, children }: SellProps) {
  const here = route.value.path.join("/");
  return (
    <Page title={title} aside={aside}>
      <nav class="tabs" aria-label="Selling">
        <ul>
          {VIEWS.map(([name, path]) => (
            <li key={name}>
              <a href={href(...path)} aria-current={path.join("/") === here ? "page" : undefined}>
                {name}
              </a>
            </li>
          ))}
        </ul>
      </nav>
      {children}
    </Page>
  );
}
