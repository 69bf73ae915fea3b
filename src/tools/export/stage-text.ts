// Writes the model's statements as pipeline units; each unit runs only if the current stage owns it.
import type { Value } from "../../language/check/model/model.js";
import { bodyText } from "./body-text.js";
import { cutNames, memberOf, unitsOf, type Unit } from "./cuts.js";
import { merged } from "./merged.js";
import { attributePath, variable } from "./names.js";
import { isWithin, type Body, type Item } from "./outline.js";
import type { BodyOptions } from "./statements.js";
import type { Variant } from "./variants.js";

export interface StageText {
  /** A sentence that explains why the model cannot be cut. If null, all fields below are filled. */
  readonly uncut: string | null;
  readonly units: readonly UnitText[];
  /** Python names of inputs that units read in addition to the first unit's tokens. */
  readonly inputs: readonly string[];
  /** The last dimensions of the tensor passed between stages, as expressions. */
  readonly width: readonly string[];
  readonly lines: readonly string[];
}

/** A unit by its attribute name (`layers`, `norm`), with the blocks, list members and weights that the unit reads. */
export interface UnitText {
  readonly name: string;
  readonly isList: boolean;
  readonly reads: readonly string[];
}

export interface StageOptions extends Pick<
  BodyOptions,
  "notes" | "holes" | "needs" | "stacks" | "sequences" | "block"
> {
  readonly variants: readonly Variant[];
  readonly methodOf: (variant: Variant, call: string) => string;
  /** The text with each hole replaced by its number. */
  readonly written: (text: string) => string;
}

const none = (uncut: string): StageText => ({ uncut, units: [], inputs: [], width: [], lines: [] });

/** Writes the objective's statements, merged over all versions. */
export function stageText(options: StageOptions): StageText {
  const variants = options.variants.filter(({ entry }) => entry === "objective");
  const names = cutNames(variants);
  return typeof names === "string" ? none(names) : written(options, variants, names);
}

type Stretch = Pick<Unit, "items" | "given" | "made">;

function written(options: StageOptions, variants: readonly Variant[], names: ReadonlySet<string>): StageText {
  const { holes, stacks } = options;
  const stored = new Set(variants.flatMap(({ model }) => model.weights.map(({ path }) => path)));
  /** A weight or state keeps its own path; a block maps to the attribute or list member that contains it. */
  const placeOf = (path: string): string => {
    const storedAt = stacks.placeOf(path);
    return attributePath(stored.has(path) ? storedAt : memberOf(storedAt));
  };
  const linesOf = (variant: Variant, { items, given, made }: Stretch): readonly string[] =>
    bodyText(part(variant.bodies.get("")!, items, given, made), {
      ...options,
      variant,
      methodOf: (call) => options.methodOf(variant, call),
      stage: { given, made },
    }).lines;
  const isLoop = (variant: Variant, items: readonly Item[]): boolean => {
    const [given, made] = [items[0]!.body!.ins[0], items.at(-1)!.body!.outs[0]];
    const lines = given && made ? linesOf(variant, { items, given, made }) : [];
    return lines[0]?.startsWith("for ") === true && lines.slice(1).every((line) => line.startsWith("    "));
  };
  const all = variants.map((variant) => unitsOf(variant, names, (items) => isLoop(variant, items)));
  const [first] = all;
  const keys = all.map((units) => units.map(({ name, isList }) => `${name} ${isList}`).join());
  if (new Set(keys).size > 1) return none("its validation calls its blocks otherwise than its training");
  const moving = new Set(variants.flatMap(({ updates }) => [...updates.keys()].map(memberOf)));
  for (const member of moving) {
    const reading = first!.filter((_, i) =>
      all.some((units) => units[i]!.reads.some((path) => memberOf(path) === member)),
    );
    if (reading.length > 1) return none(`its validation reads ${member}, whose states training moves, at other places`);
  }
  const lines = first!.flatMap(({ name, isList }, i) => {
    const texts = variants.map((version, v) => ({ version, lines: linesOf(version, all[v]![i]!) }));
    const text = merged(texts, (a, b) => options.written(a) === options.written(b));
    return isList ? text.flatMap(skipping) : [`if "${attributePath(name)}" in self.stage.units:`, ...text.map(inner)];
  });
  const read = new Set(variants.flatMap((variant, v) => inputsRead(variant, all[v]!)));
  const { inputs } = variants[0]!.model;
  if (read.has("x") || read.has("counts")) return none("an input of it is called as what stages are given");
  const stream = first!.find(({ made }) => made)!.made!;
  return {
    uncut: null,
    units: first!.map(({ name, isList }, i) => {
      const paths = [...new Set(all.flatMap((units) => units[i]!.reads).map(placeOf))];
      const reads = paths.filter((place) => !paths.some((outer) => isWithin(place, outer)));
      return { name: attributePath(name), isList, reads };
    }),
    inputs: inputs.flatMap(({ name, value }) => (read.has(name) && value.op === "input" ? [variable(name)] : [])),
    width: stream.type.shape.slice(2).map((size) => holes.add(String(size), "size")),
    lines,
  };
}

const inner = (line: string): string => `    ${line}`;

/** In a loop, blocks owned by other stages are skipped. */
function skipping(line: string): readonly string[] {
  const match = /^( *)for .*:$/.exec(line);
  return match ? [line, `${match[1]!}    if layer is None:`, `${match[1]!}        continue`] : [line];
}

/** Names of inputs that the units read, except for the first unit's tokens. */
function inputsRead({ model }: Variant, units: readonly Unit[]): readonly string[] {
  return model.inputs.flatMap(({ name, value }) =>
    units.some(({ items, given }) => given !== value && reads(items, value)) ? [name] : [],
  );
}

const reads = (items: readonly Item[], input: Value): boolean =>
  items.some((item) => (item.value ? item.value.inputs : item.body.ins).includes(input));

/** A consecutive part of the model's top-level body. */
const part = (root: Body, items: readonly Item[], given: Value, made: Value | null): Body => ({
  ...root,
  items,
  ins: [given],
  outs: made ? [made] : [],
});
