import { useId } from "preact/hooks";

import { MAX_QUANTITY } from "../cart.ts";

interface QuantityProps {
  /** What it is a number of. */
  of: string;
  value: number;
  isDisabled?: boolean;
  onChange: (value: number) => void;
}

/** How many pieces. */
export function Quantity({ of, value, isDisabled = false, onChange }: QuantityProps) {
  const id = useId();
  const onInput = (input: HTMLInputElement) => {
    const wanted = input.valueAsNumber;
    if (Number.isInteger(wanted) && wanted >= 1 && wanted <= MAX_QUANTITY) onChange(wanted);
    else input.value = String(value);
  };
  return (
    <div class="quantity">
      <label for={id} class="unseen">{`Quantity of ${of}`}</label>
      <button
        type="button"
        aria-label={`One less of ${of}`}
        disabled={isDisabled || value <= 1}
        onClick={() => onChange(value - 1)}
      >
        −
      </button>
      <input
        id={id}
        type="number"
        inputMode="numeric"
        min={1}
        max={MAX_QUANTITY}
        value={value}
        disabled={isDisabled}
        onChange={(event) => onInput(event.currentTarget)}
      />
      <button
        type="button"
        aria-label={`One more of ${of}`}
        disabled={isDisabled || value >= MAX_QUANTITY}
        onClick={() => onChange(value + 1)}
      >
        +
      </button>
    </div>
  );
}
