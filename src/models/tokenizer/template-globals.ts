// Global names of chat templates, as in Hugging Face transformers.
import type { Budget } from "./template-budget.js";

/** Constants and functions by name; `budget` counts the work of the functions. */
export const globals = (budget: Budget): Readonly<Record<string, unknown>> => ({
  false: false,
  true: true,
  none: null,
  False: false,
  True: true,
  None: null,
  raise_exception: (message: unknown) => {
    throw new Error(typeof message === "string" ? message : "it gives no reason");
  },
  range: (...bounds: readonly unknown[]) => range(budget, bounds),
  strftime_now: (format: unknown) => strftime(new Date(), typeof format === "string" ? format : ""),
});

function range(budget: Budget, bounds: readonly unknown[]): readonly number[] {
  const numbers = bounds.map(Number).filter(Number.isFinite);
  if (numbers.length === 0 || numbers.length !== bounds.length || numbers.length > 3)
    throw new Error("range() takes one to three numbers");
  const [start, stop, step] = numbers.length === 1 ? [0, numbers[0]!, 1] : [numbers[0]!, numbers[1]!, numbers[2] ?? 1];
  if (step === 0) throw new Error("range() step must not be zero");
  const count = Math.max(0, Math.ceil((stop - start) / step));
  budget.spend(count);
  return Array.from({ length: count }, (_, i) => start + i * step);
}

const MONTHS = [
  "January",
  "February",
  "March",
  "April",
  "May",
  "June",
  "July",
  "August",
  "September",
  "October",
  "November",
  "December",
] as const;

/** Python's strftime, limited to the directives that templates use. */
function strftime(date: Date, format: string): string {
  const two = (n: number): string => String(n).padStart(2, "0");
  const month = MONTHS[date.getMonth()]!;
  const parts: Readonly<Record<string, string>> = {
    Y: String(date.getFullYear()),
    m: two(date.getMonth() + 1),
    d: two(date.getDate()),
    b: month.slice(0, 3),
    B: month,
    H: two(date.getHours()),
    M: two(date.getMinutes()),
    "%": "%",
  };
  return format.replaceAll(/%([YmdbBHM%])/g, (_, part: string) => parts[part]!);
}
