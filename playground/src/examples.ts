// The examples of modc, with smaller sizes for examples that are too large for a page.
import { SMALL } from "./small.js";

export interface Example {
  readonly name: string;
  readonly text: string;
  /** Parameters that make the model byte-level and small enough for a page; null: none are needed. */
  readonly small: Readonly<Record<string, string>> | null;
}

const files = import.meta.glob(
  [
    "../../examples/*.mod",
    "../../examples/variants/hybrid.mod",
    "../../examples/inputs/pictures.mod",
    "../../examples/inputs/translate.mod",
  ],
  { query: "?raw", import: "default", eager: true },
);

export const examples: readonly Example[] = Object.entries(files)
  .map(([path, text]) => {
    const name = path.slice(path.lastIndexOf("/") + 1, -".mod".length);
    return { name, text, small: SMALL[name] ?? null };
  })
  .sort((a, b) => (a.name < b.name ? -1 : 1));

/** The initial example. */
export const FIRST = "moby";
