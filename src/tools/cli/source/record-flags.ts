// The flags that say how rows of data become records, and the settings that they stand for.
import type { RecordSettings } from "../../train/data.js";

/** Options of records among the flags; names of labels are separated by commas. */
export function recordsIn({ field, chatTemplate, labels, learn, pack }: RecordFlags): RecordSettings {
  const names = Object.entries(labels ?? {}).map(([input, text]) => [
    input,
    text.split(",").map((name) => name.trim()),
  ]);
  return {
    ...(field === undefined ? {} : { field }),
    ...(chatTemplate === undefined ? {} : { chatTemplate }),
    ...(labels === undefined ? {} : { labels: Object.fromEntries(names) as Record<string, string[]> }), // pairs of them
    ...(learn === undefined ? {} : { learn }),
    ...(pack === undefined ? {} : { pack }),
  };
}

/** The same settings as flags. */
export const recordFlags = ({ labels, ...settings }: RecordSettings): RecordFlags => ({
  ...settings,
  ...(labels && { labels: Object.fromEntries(Object.entries(labels).map(([name, all]) => [name, all.join(",")])) }),
});

export interface RecordFlags extends Omit<RecordSettings, "labels"> {
  readonly labels?: Readonly<Record<string, string>>;
}
