// Forms whose fields are named as in the contract, so that each mistake which the server finds stands beside its field.
import type { ComponentChildren, JSX, RefObject } from "preact";
import { useId, useLayoutEffect, useRef, useState } from "preact/hooks";

import { problem, WrongFields, type Problem } from "../problem.ts";

export interface FormState {
  ref: RefObject<HTMLFormElement | null>;
  isBusy: boolean;
  problem: Problem | undefined;
  onSubmit: (event: SubmitEvent) => void;
}

interface Sending {
  /** The field that is at fault when an error has one of these reasons, rather than naming fields. */
  reasons?: Record<string, string>;
}

/** Sends a form, and keeps what was wrong with it. */
export function useForm(send: (data: FormData) => Promise<void>, { reasons = {} }: Sending = {}): FormState {
  const ref = useRef<HTMLFormElement>(null);
  const [isBusy, setBusy] = useState(false);
  const [failed, setFailed] = useState<Problem>();

  const onSubmit = async (event: SubmitEvent) => {
    event.preventDefault();
    if (isBusy || !ref.current) return;
    setBusy(true);
    setFailed(undefined);
    try {
      await send(new FormData(ref.current));
    } catch (error) {
      const found = problem(error);
      const field = reasons[found.reason];
      setFailed(field ? problem(new WrongFields({ [field]: found.text })) : found);
    }
    setBusy(false);
  };

  // Where to go on: the first field that is wrong.
  useLayoutEffect(() => {
    if (failed) ref.current?.querySelector<HTMLElement>("[aria-invalid=true]")?.focus();
  }, [failed]);

  return { ref, isBusy, problem: failed, onSubmit };
}

interface FormProps {
  state: FormState;
  label: string;
  children: ComponentChildren;
}

export function Form({ state, label, children }: FormProps) {
  return (
    <form ref={state.ref} class="form" aria-label={label} aria-busy={state.isBusy} noValidate onSubmit={state.onSubmit}>
      <Alert problem={state.problem} />
      {children}
    </form>
  );
}

/** What went wrong, said at once. */
export function Alert({ problem, children }: { problem: Problem | undefined; children?: ComponentChildren }) {
  return (
    <div role="alert">
      {problem && (
        <div class="alert">
          <p>{problem.text}</p>
          {children}
        </div>
      )}
    </div>
  );
}

interface FieldProps {
  state: FormState;
  /** As the contract calls it. */
  name: string;
  label: string;
  hint?: string;
  /** The input, if it is to be another than one for text. */
  children?: (attributes: Attributes) => JSX.Element;
}

interface Attributes {
  id: string;
  name: string;
  "aria-invalid": boolean;
  "aria-describedby": string | undefined;
}

export function Field({ state, name, label, hint, children }: FieldProps) {
  const id = useId();
  const wrong = state.problem?.fields.get(name);
  const describedBy = [hint && `${id}-hint`, wrong && `${id}-wrong`].filter(Boolean).join(" ");
  const attributes: Attributes = {
    id,
    name,
    "aria-invalid": wrong !== undefined,
    "aria-describedby": describedBy || undefined,
  };
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {hint && (
        <p id={`${id}-hint`} class="hint">
          {hint}
        </p>
      )}
      {children ? children(attributes) : <input type="text" autocomplete="off" {...attributes} />}
      {wrong && (
        <p id={`${id}-wrong`} class="wrong">
          {wrong}
        </p>
      )}
    </div>
  );
}

interface SubmitProps {
  state: FormState;
  children: ComponentChildren;
}

export function Submit({ state, children }: SubmitProps) {
  return (
    <button type="submit" class="primary" aria-disabled={state.isBusy}>
      {children}
    </button>
  );
}
