// What every view has: a title, and something to show while it is being asked for.
import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";

import type { Loaded } from "../loading.ts";
import { Alert } from "./form.tsx";

interface PageProps {
  title: string;
  /** Beside the title. */
  aside?: ComponentChildren;
  children: ComponentChildren;
}

let isFirst = true;

export function Page({ title, aside, children }: PageProps) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${title} · OrderFlow`;
  }, [title]);
  // Another view is like another page: reading starts at its beginning. The focus moves as the view appears: later it would be
  // taken from somebody who is already typing.
  useLayoutEffect(() => {
    if (!isFirst) heading.current?.focus();
    isFirst = false;
  }, []);
  return (
    <>
      <div class="title">
        <h1 ref={heading} tabIndex={-1}>
          {title}
        </h1>
        {aside}
      </div>
      {children}
    </>
  );
}

interface LoadedProps<T> {
  of: Omit<Loaded<T>, "update">;
  children: (value: T) => ComponentChildren;
}

/** Shows what was loaded, and says so while it is not there, or could not be had. */
export function Shown<T>({ of: { value, problem, isLoading, reload }, children }: LoadedProps<T>) {
  return (
    <div aria-busy={isLoading}>
      <Alert problem={problem}>
        <button type="button" onClick={reload}>
          Try again
        </button>
      </Alert>
      {value !== undefined ? children(value) : isLoading && <p class="loading">One moment…</p>}
    </div>
  );
}

export function Empty({ children }: { children: ComponentChildren }) {
  return <p class="empty">{children}</p>;
}

export function More({ more, isLoading }: { more: (() => void) | undefined; isLoading: boolean }) {
  if (!more) return null;
  return (
    <p class="more">
      <button type="button" aria-disabled={isLoading} onClick={() => isLoading || more()}>
        Show more
      </button>
    </p>
  );
}
