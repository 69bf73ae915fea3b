// The examples that come with modc, and sizes at which those of billions of numbers fit a page.
import { SMALL } from "./small.js";

export interface Example {
  readonly name: string;
  readonly text: string;
  /** Parameters that make it small enough to run here, and read bytes; null: it is as it stands. */
  readonly small: Readonly<Record<string, string>> | null;
}

const files = import.meta.glob("../../examples/*.mod", { query: "?raw", import: "default", eager: true });

export const examples: readonly Example[] = Object.entries(files).map(([path, text]) => {
  const name = path.slice(path.lastIndexOf("/") + 1, -".mod".length);
  return { name, text, small: SMALL[name] ?? null };
});

/** What the page opens with. */
export const FIRST = "moby";
