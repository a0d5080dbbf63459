// Things that have to be asked for first.
import { useCallback, useEffect, useState } from "preact/hooks";

import { problem, type Problem } from "./problem.ts";

export interface Loaded<T> {
  value: T | undefined;
  problem: Problem | undefined;
  isLoading: boolean;
  reload: () => void;
  /** Brings in what is known meanwhile. */
  update: (change: (value: T) => T) => void;
}

/** Loads anew whenever one of `keys` is another; what was there before stays until then. */
export function useLoaded<T>(load: (signal: AbortSignal) => Promise<T>, keys: readonly unknown[]): Loaded<T> {
  const [state, setState] = useState<Pick<Loaded<T>, "value" | "problem" | "isLoading">>({
    value: undefined,
    problem: undefined,
    isLoading: true,
  });
  const [times, setTimes] = useState(0);
  useEffect(() => {
    const stop = new AbortController();
    setState((before) => ({ ...before, isLoading: true }));
    load(stop.signal).then(
      (value) => stop.signal.aborted || setState({ value, problem: undefined, isLoading: false }),
      (error) =>
        stop.signal.aborted || setState((before) => ({ ...before, problem: problem(error), isLoading: false })),
    );
    return () => stop.abort();
  }, [...keys, times]);
  const reload = useCallback(() => setTimes((before) => before + 1), []);
  const update = useCallback(
    (change: (value: T) => T) =>
      setState((before) => (before.value === undefined ? before : { ...before, value: change(before.value) })),
    [],
  );
  return { ...state, reload, update };
}

export interface Page<T> {
  items: T[];
  nextPageToken: string;
}

export interface Pages<T> extends Loaded<Page<T>> {
  more: (() => void) | undefined;
}

/** A list that grows page by page. */
export function usePages<T>(
  load: (pageToken: string, signal: AbortSignal) => Promise<Page<T>>,
  keys: readonly unknown[],
): Pages<T> {
  const [isLoadingMore, setLoadingMore] = useState(false);
  const [failed, setFailed] = useState<Problem>();
  const first = useLoaded((signal) => {
    setFailed(undefined);
    return load("", signal);
  }, keys);
  const before = first.value;
  const more = async () => {
    if (!before) return;
    setLoadingMore(true);
    setFailed(undefined);
    try {
      const next = await load(before.nextPageToken, new AbortController().signal);
      // Another list may have been asked for meanwhile.
      first.update((now) =>
        now.nextPageToken === before.nextPageToken ? { ...next, items: [...now.items, ...next.items] } : now,
      );
    } catch (error) {
      setFailed(problem(error));
    }
    setLoadingMore(false);
  };
  return {
    ...first,
    isLoading: first.isLoading || isLoadingMore,
    problem: first.problem ?? failed,
    more: first.value?.nextPageToken ? more : undefined,
  };
}
