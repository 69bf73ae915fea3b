// The language server's settings, as sent by clients.

export interface Settings {
  readonly shapes: boolean;
  readonly costs: boolean;
  readonly causality: boolean;
  /** Sizes for which costs are computed; a length of null means the model's greatest length. */
  readonly batch: number;
  readonly length: number | null;
  /** Model parameters, as given by `--set`. */
  readonly set: Readonly<Record<string, string>>;
}

export const DEFAULTS: Settings = { shapes: true, costs: true, causality: true, batch: 1, length: null, set: {} };

/**
 * Reads untrusted settings: `{ inlayHints: { shapes, costs, causality }, batch, length, set }`, or the same under
 * `modc`. Missing or invalid settings keep their earlier values.
 */
export function settingsOf(sent: unknown, before: Settings): Settings {
  const all = fieldsOf(fieldsOf(sent)["modc"] ?? sent);
  const hints = fieldsOf(all["inlayHints"]);
  const flag = (value: unknown, usual: boolean): boolean => (typeof value === "boolean" ? value : usual);
  return {
    shapes: flag(hints["shapes"], before.shapes),
    costs: flag(hints["costs"], before.costs),
    causality: flag(hints["causality"], before.causality),
    batch: isCount(all["batch"]) ? all["batch"] : before.batch,
    length: all["length"] === null ? null : isCount(all["length"]) ? all["length"] : before.length,
    set: "set" in all ? texts(all["set"]) : before.set,
  };
}

/** Copies to an object without prototype, so that no key has a special meaning. */
function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  const fields: Record<string, unknown> = Object.assign(Object.create(null) as object);
  return typeof value === "object" && value !== null ? Object.assign(fields, value) : fields;
}

const isCount = (value: unknown): value is number =>
  typeof value === "number" && Number.isSafeInteger(value) && value >= 1;

function texts(value: unknown): Readonly<Record<string, string>> {
  const found: Record<string, string> = Object.assign(Object.create(null) as object);
  for (const [name, v] of Object.entries(fieldsOf(value)))
    if (typeof v === "string" || typeof v === "number" || typeof v === "boolean") found[name] = String(v);
  return found;
}
