// Estimates the memory of an exported folder's training step on each device: forward, backward, clipping and AdamW, as
// `train.py` runs them in PyTorch's eager mode.
import type { Model } from "../../../language/check/model.js";
import { Stacks } from "../../export/experts.js";
import { tensorPlan, type Shared } from "../../export/tensor-parallel.js";
import { needsOf, variantOf, type Variant } from "../../export/variants.js";
import { resolveSizes } from "../../../ground/size/axes.js";
import type { CountMode } from "../../../ground/size/counting.js";
import { BudgetError } from "../errors.js";
import type { Layout, MemoryOf, TrainingMemory } from "../memory.js";
import { parametersOf, type Kept, type Shape } from "./parameters.js";
import { Tape } from "./tape.js";
import type { Kernels } from "./torch.js";
import { groupOf, lossesOf } from "./walk.js";

export interface TorchModels {
  /** Phase infer, entry forward: the tensor parallel split is found on this model. */
  readonly forward: Model;
  /** Phase train, entry objective. */
  readonly objective: Model;
}

export interface TorchMemory {
  readonly memory: MemoryOf;
  /** Whether `parallelize.py` supports the layout: tensor parallelism must divide heads and columns evenly. */
  readonly allows: (layout: Layout) => boolean;
}

/**
 * Throws ExportError for models without a PyTorch form, and BudgetError for operations without a rule. The returned
 * functions throw BudgetError, too.
 */
export function torchMemory(
  { forward, objective }: TorchModels,
  extents: (sequences: number) => ReadonlyMap<string, number>,
  mode: CountMode = "bound",
  kernels: Kernels = "cuda",
): TorchMemory {
  const variant = knownOf(objective);
  const needs = needsOf([variant]);
  const alone = variantOf(forward, UNNAMED);
  const plan = tensorPlan([alone, variant], needsOf([alone, variant]), new Stacks([alone, variant]));
  const sharedAt = (path: string): Shared | null => plan.get(path.replace(/(?<=^|\.)\d+(?=\.|$)/g, "*")) ?? null;
  const live = new Map(objective.live.map((l) => [l.name, l.default]));
  const tables = tablesOf(objective);
  const memory = (layout: Layout, sequences: number): TrainingMemory => {
    const { sharding, precision, recompute, devices } = layout;
    const parts = sharding === "tp" ? devices : 1;
    const shared = (path: string): Shared["style"] | null => (parts === 1 ? null : (sharedAt(path)?.style ?? null));
    const isSharded = sharding === "fsdp" && devices > 1;
    const isNarrow = precision === "bf16";
    const tape = new Tape();
    const torch = { tape, kernels, cast: isNarrow && !isSharded ? new Map() : null };
    const shapes = objective.weights.map(({ path, shape }): Shape => {
      const style = shared(ownerOf(path));
      const decays = shape.length >= 2 && !tables.has(path);
      return {
        path,
        shape: localShape(shape, style, parts),
        group: groupOf(path),
        stepped: `${decays} ${style !== null}`,
      };
    });
    const parameters = parametersOf(tape, shapes, keptBy(layout), isNarrow && isSharded ? "bf16" : "f32");
    const sizes = resolveSizes(objective.axes, { extents: extents(sequences), lengths: new Map(), live }, mode);
    tape.backward(lossesOf({ torch, variant, needs, sizes, parameters, shared, recompute }));
    parameters.done("");
    // AdamW computes the square root of a whole group's second moments at once.
    for (const bytes of parameters.stepped().values()) tape.release(tape.allocate(bytes));
    const { most } = tape;
    return { ...most.parts, total: most.total };
  };
  const allows = ({ sharding, devices }: Layout): boolean =>
    sharding !== "tp" ||
    objective.weights.every(({ path, shape }) => {
      const found = shape.length === 2 ? sharedAt(ownerOf(path)) : null;
      return found === null || shape[found.style === "columns" ? 0 : 1]! % (found.width * devices) === 0;
    });
  return { memory, allows };
}

/** Value names are not needed, because no text is written. */
const UNNAMED = { nameOf: () => null };

const COUNT_OWN = "leave out --engine torch: modc's own training is counted";

/** Throws BudgetError for features that the export supports and this estimate does not. */
function knownOf(objective: Model): Variant {
  const fail = (what: string): never => {
    throw new BudgetError(`the memory of ${what} in PyTorch is not known`, COUNT_OWN);
  };
  if (objective.weights.some(({ kind }) => kind === "state")) fail("states that training moves");
  const variant = variantOf(objective, UNNAMED);
  const again = [...variant.bodies.values()].find(({ path, instance }) => path !== instance);
  return again ? fail(`${again.instance}, a block that is called more than once,`) : variant;
}

/** The path of the block that owns a weight. */
const ownerOf = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf(".")));

/** The shape of a weight on one device, if columns or rows are divided. */
function localShape(shape: readonly number[], style: Shared["style"] | null, parts: number): readonly number[] {
  if (style === null || (style === "rows" && shape.length < 2)) return shape;
  return shape.map((size, i) => (i === (style === "columns" ? 0 : 1) ? size / parts : size));
}

function keptBy({ sharding, devices }: Layout): Kept {
  if (devices === 1 || sharding === "tp") return { by: "alone" };
  return sharding === "fsdp" ? { by: "fsdp", devices } : { by: "ddp" };
}

/** Lookup tables. AdamW updates them in the group without weight decay. */
function tablesOf(model: Model): ReadonlySet<string> {
  const found = new Set<string>();
  const seen = new Set<Model["losses"][number]["value"]>();
  const todo = model.losses.map(({ value }) => value);
  for (let value = todo.pop(); value; value = todo.pop()) {
    if (seen.has(value)) continue;
    seen.add(value);
    const [table] = value.inputs;
    if (value.op === "gather" && table?.op === "weight" && "path" in table.attrs) found.add(table.attrs.path);
    todo.push(...value.inputs);
  }
  return found;
}
