// Settings of the language server, as clients send them.

export interface Settings {
  readonly shapes: boolean;
  readonly costs: boolean;
  readonly causality: boolean;
  /** Sizes at which costs are told; null: as many tokens as the model allows. */
  readonly batch: number;
  readonly length: number | null;
  /** Parameters of models, as `--set` has them. */
  readonly set: Readonly<Record<string, string>>;
}

export const DEFAULTS: Settings = { shapes: true, costs: true, causality: true, batch: 1, length: null, set: {} };

/**
 * Reads what a client sends, which may be anything: `{ inlayHints: { shapes, costs, causality }, batch, length, set }`,
 * or that under `modc`. What is missing or no such value is as before.
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

/** A value without a prototype, so that no name is special. */
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
