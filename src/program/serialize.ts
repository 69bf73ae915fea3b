// Programs as text: JSON, printed so that a person can read it, and read back as untrusted input.
import { DTYPES, isFloat, type DType } from "../base/dtype.js";
import { ENCODING_NAMES } from "./encodings/index.js";
import {
  PROGRAM_FORMAT,
  PROGRAM_VERSION,
  PROMISES,
  type CountedTable,
  type Program,
  type ProgramInput,
  type ProgramKernel,
  type ProgramOrigin,
  type ProgramOutput,
  type ProgramSlot,
  type ProgramStandIn,
  type ProgramState,
  type ProgramStep,
  type ProgramTable,
  type ProgramUniform,
  type ProgramWeight,
  type ProgramWeightSlot,
  type ProgramWork,
  type StandInCase,
  weightBytes,
} from "./program.js";
import { checkWeightSlots, elementsOf, readLayout, readPart } from "./layout.js";
import { Reader } from "./reader.js";
import { MOST_DIMENSIONS, Symbols } from "./symbols.js";
import { readOrigin, readWork } from "./works.js";
import { readSubgroupSize, readTarget } from "./read-target.js";
import { FEATURES, ACTIVATION_TYPES, type Requirements } from "./target.js";

export { ProgramError } from "./reader.js";

/** One line for each slot, kernel and step; the same program always gives the same text. */
export function printProgram(program: Program): string {
  const lists = Object.entries(program).map(([key, value]) => {
    const long = Array.isArray(value) && value.length > 0;
    const text = long ? `[\n${value.map((v) => `  ${JSON.stringify(v)}`).join(",\n")}\n]` : JSON.stringify(value);
    return `${JSON.stringify(key)}: ${text}`;
  });
  return `{\n${lists.join(",\n")}\n}\n`;
}

/**
 * Reads a program back. Throws ProgramError, with the place in the data, for anything a compiler would not have
 * written.
 */
export const parseProgram = (text: string): Program => readProgram(Reader.parse(text));

/** A program within other data. */
export function readProgram(root: Reader): Program {
  root.fields([
    "format",
    "version",
    "model",
    "phase",
    "entry",
    "target",
    "requires",
    "precision",
    "tunings",
    "parameters",
    "axes",
    "live",
    "inputs",
    "outputs",
    "weights",
    "ignore",
    "states",
    "tables",
    "slots",
    "kernels",
    "steps",
    "works",
    "origins",
  ]);
  if (root.get("format").string() !== PROGRAM_FORMAT)
    root.get("format").fail(`must be ${JSON.stringify(PROGRAM_FORMAT)}`);
  const version = root.get("version").integer(0);
  if (version !== PROGRAM_VERSION)
    root.get("version").fail(`is ${version}: this version of modc reads ${PROGRAM_VERSION}`);
  return new ProgramReader(root).program();
}

const COUNTED = ["starts", "counts", "positions", "segments"] as const satisfies readonly CountedTable[];

class ProgramReader {
  readonly #root: Reader;
  readonly #symbols: Symbols;
  readonly #slots: readonly ProgramSlot[];
  readonly #works: readonly ProgramWork[];
  readonly #origins: readonly ProgramOrigin[];

  constructor(root: Reader) {
    this.#root = root;
    this.#symbols = new Symbols(root.get("live"), root.get("axes"));
    this.#slots = root.get("slots").list((r) => {
      r.fields(["bytes", "label"]);
      return { bytes: this.#symbols.size(r.get("bytes")), label: r.get("label").string() };
    });
    this.#origins = root.get("origins").list(readOrigin);
    this.#works = root.get("works").list((r) => readWork(r, this.#symbols, this.#origins.length));
  }

  program(): Program {
    const root = this.#root;
    const kernels = root.get("kernels").list((r) => this.#kernel(r));
    const inputs = root.get("inputs").list((r) => this.#input(r));
    const outputs = root.get("outputs").list((r) => this.#output(r));
    const weights = root.get("weights").list((r) => this.#weight(r));
    checkWeightSlots(root.get("weights"), weights);
    const paths = new Set(weights.map((w) => w.path));
    const states = root.get("states").list((r) => this.#state(r, paths));
    for (const name of ["inputs", "outputs", "weights", "states"] as const)
      root.get(name).unique(name === "weights" ? "path" : "name");
    return {
      format: PROGRAM_FORMAT,
      version: PROGRAM_VERSION,
      model: root.get("model").string(),
      phase: root.get("phase").oneOf(["infer", "train", "generate"]),
      entry: root.get("entry").oneOf(["forward", "objective"]),
      target: readTarget(root.get("target")),
      requires: readRequirements(root.get("requires")),
      precision: root.get("precision").oneOf(ACTIVATION_TYPES),
      tunings: root.get("tunings").string(64),
      parameters: root.get("parameters").list((r) => {
        r.fields(["name", "value"]);
        return { name: r.get("name").string(), value: r.get("value").string() };
      }),
      axes: this.#symbols.axes,
      live: this.#symbols.live,
      inputs,
      outputs,
      weights,
      ignore: root.get("ignore").list((r) => r.string()),
      states,
      tables: root.get("tables").list((r) => this.#table(r)),
      slots: this.#slots,
      kernels,
      steps: root.get("steps").list((r) => this.#step(r, kernels)),
      works: this.#works,
      origins: this.#origins,
    };
  }

  #slot(r: Reader): number {
    return r.index(this.#slots.length);
  }

  // --- what goes in and out
  #input(r: Reader): ProgramInput {
    r.fields(["name", "dtype", "shape", "packing", "least", "below", "slot"]);
    const shape = this.#symbols.shape(r.get("shape"));
    return {
      name: r.get("name").string(),
      dtype: r.get("dtype").oneOf(DTYPES),
      shape,
      packing: this.#symbols.packing(r.get("packing"), shape),
      least: r.get("least").integer(-0x80000000, 0),
      below: r.get("below").orNull((b) => b.integer(0)),
      slot: r.get("slot").orNull((s) => this.#slot(s)),
    };
  }
  #output(r: Reader): ProgramOutput {
    r.fields(["name", "role", "dtype", "shape", "packing", "slot", "parts", "starts"]);
    const shape = this.#symbols.shape(r.get("shape"));
    const slot = this.#slot(r.get("slot"));
    return {
      name: r.get("name").string(),
      role: r.get("role").oneOf(["result", "loss", "observe"]),
      dtype: r.get("dtype").oneOf(DTYPES),
      shape,
      packing: this.#symbols.packing(r.get("packing"), shape),
      slot,
      parts: this.#outputParts(r.get("parts"), slot, shape),
      starts: r.get("starts").list((s) => {
        s.fields(["dim", "slot"]);
        return { dim: s.get("dim").index(shape.length), slot: this.#slot(s.get("slot")) };
      }, MOST_DIMENSIONS),
    };
  }
  #outputParts(r: Reader, slot: number, shape: ProgramOutput["shape"]): ProgramOutput["parts"] {
    const parts = r.list((p) => {
      p.fields(["slot", "columns"]);
      return { slot: this.#slot(p.get("slot")), columns: p.get("columns").integer(1) };
    });
    if (parts.length === 0) return parts;
    const columns = parts.reduce((n, p) => n + p.columns, 0);
    if (columns !== shape.at(-1)) r.fail(`hold ${columns} columns of ${JSON.stringify(shape.at(-1) ?? null)}`);
    if (parts[0]!.slot !== slot) r.fail(`begin with slot ${parts[0]!.slot}, not with ${slot}`);
    return parts;
  }
  #weight(r: Reader): ProgramWeight {
    r.fields(["path", "dtype", "shape", "init", "keys", "slots"]);
    const shape = r.get("shape").list((s) => s.integer(0), MOST_DIMENSIONS);
    const dtype = r.get("dtype").oneOf(DTYPES);
    return {
      path: r.get("path").string(),
      dtype,
      shape,
      init: this.#init(r.get("init")),
      keys: r.get("keys").list((k) => k.string()),
      slots: r.get("slots").list((s) => this.#weightSlot(s, dtype, shape)),
    };
  }
  #weightSlot(r: Reader, dtype: DType, shape: readonly number[]): ProgramWeightSlot {
    r.fields(["slot", "form", "layout", "part"]);
    const slot = this.#slot(r.get("slot"));
    const form = r.get("form").oneOf(ENCODING_NAMES);
    if (form !== "word" && !isFloat(dtype)) r.get("form").fail(`is ${form}, and the weight is ${dtype}`);
    const part = r.get("part").orNull((p) => readPart(p, shape));
    const elements = elementsOf(shape, part);
    const layout = readLayout(r.get("layout"), elements);
    const bytes = weightBytes(layout, elements, form);
    if (this.#slots[slot]!.bytes !== bytes)
      r.get("slot").fail(`is ${slot}, which has not the ${bytes} bytes of the weight`);
    return { slot, form, layout, part };
  }
  #init(r: Reader): ProgramWeight["init"] {
    const kind = r.get("kind").oneOf(["zeros", "ones", "normal", "uniform", "orthogonal"]);
    switch (kind) {
      case "zeros":
      case "ones":
        r.fields(["kind"]);
        return { kind };
      case "normal":
        r.fields(["kind", "std"]);
        return { kind, std: r.get("std").number() };
      case "uniform":
        r.fields(["kind", "low", "high"]);
        return { kind, low: r.get("low").number(), high: r.get("high").number() };
      case "orthogonal":
        r.fields(["kind", "gain"]);
        return { kind, gain: r.get("gain").number() };
      default:
        return kind satisfies never;
    }
  }
  #state(r: Reader, weights: ReadonlySet<string>): ProgramState {
    r.fields(["name", "dtype", "shape", "init", "slot"]);
    return {
      name: r.get("name").string(),
      dtype: r.get("dtype").oneOf(DTYPES),
      shape: this.#symbols.shape(r.get("shape")),
      init: this.#stateInit(r.get("init"), weights),
      slot: this.#slot(r.get("slot")),
    };
  }
  #stateInit(r: Reader, weights: ReadonlySet<string>): ProgramState["init"] {
    const kind = r.get("kind").oneOf(["zeros", "filled", "weight"]);
    switch (kind) {
      case "zeros":
        r.fields(["kind"]);
        return { kind };
      case "filled":
        r.fields(["kind", "value"]);
        return { kind, value: r.get("value").integer(0, 0xffffffff) };
      case "weight": {
        r.fields(["kind", "path"]);
        const path = r.get("path").string();
        if (!weights.has(path)) r.get("path").fail(`is ${JSON.stringify(path)}, which is no weight`);
        return { kind, path };
      }
      default:
        return kind satisfies never;
    }
  }
  #table(r: Reader): ProgramTable {
    const kind = r.get("kind").oneOf([...COUNTED, "k", "span", "size", "live", "seed", "rope"]);
    const slot = this.#slot(r.get("slot"));
    switch (kind) {
      case "starts":
      case "counts":
      case "positions":
      case "segments":
        return this.#countedTable(r, kind, slot);
      case "k":
      case "span":
        return this.#ruleTable(r, kind, slot);
      case "size":
        r.fields(["kind", "size", "dtype", "slot"]);
        return {
          kind,
          size: this.#symbols.size(r.get("size"), -Number.MAX_SAFE_INTEGER),
          dtype: r.get("dtype").oneOf(["f32", "u32", "i32"]),
          slot,
        };
      case "live": {
        r.fields(["kind", "name", "slot"]);
        const name = r.get("name").string();
        return this.#symbols.isLive(name)
          ? { kind, name, slot }
          : r.get("name").fail(`${JSON.stringify(name)} is no live parameter`);
      }
      case "seed":
        r.fields(["kind", "slot"]);
        return { kind, slot };
      case "rope":
        return this.#ropeTable(r, slot);
      default:
        return kind satisfies never;
    }
  }
  #countedTable(r: Reader, kind: CountedTable, slot: number): ProgramTable {
    r.fields(["kind", "axis", "slot"]);
    const axis = this.#symbols.sequence(r.get("axis"));
    if (this.#symbols.onDevice(axis))
      r.get("axis").fail(`is ${JSON.stringify(axis)}, whose counts only the device knows`);
    return { kind, axis, slot };
  }
  #ruleTable(r: Reader, kind: "k" | "span", slot: number): ProgramTable {
    r.fields(["kind", "axis", "slot"]);
    const axis = this.#symbols.sequence(r.get("axis"));
    const found = this.#symbols.axes.find((a) => a.name === axis);
    const rule = kind === "k" ? "top" : "span";
    if (found?.role !== "sequence" || found.count.kind !== rule)
      r.get("axis").fail(`${JSON.stringify(axis)} has no table of this kind`);
    return { kind, axis, slot };
  }
  #ropeTable(r: Reader, slot: number): ProgramTable {
    r.fields(["kind", "positions", "width", "theta", "frequencies", "scale", "slot"]);
    const width = r.get("width").integer(2);
    const frequencies = r.get("frequencies").orNull((f) => f.list((x) => x.number()));
    if (width % 2 !== 0) r.get("width").fail(`must be even, found ${width}`);
    if (frequencies && frequencies.length !== width / 2)
      r.get("frequencies").fail(`must be ${width / 2} numbers, found ${frequencies.length}`);
    return {
      kind: "rope",
      positions: this.#symbols.size(r.get("positions")),
      width,
      theta: r.get("theta").number(),
      frequencies,
      scale: r.get("scale").number(),
      slot,
    };
  }

  // --- what runs
  #kernel(r: Reader): ProgramKernel {
    r.fields(["name", "wgsl", "access", "uniforms", "tuning"]);
    return {
      name: r.get("name").string(),
      wgsl: r.get("wgsl").string(1_000_000),
      access: r.get("access").list((a) => a.oneOf(["read", "read_write"]), MOST_DIMENSIONS),
      uniforms: r.get("uniforms").integer(0, 4096),
      tuning: r.get("tuning").string(),
    };
  }
  #step(r: Reader, kernels: readonly ProgramKernel[]): ProgramStep {
    const kind = r.get("kind").oneOf(["dispatch", "copy", "clear"]);
    const work = r.get("work").orNull((w) => w.index(this.#works.length));
    switch (kind) {
      case "copy": {
        r.fields(["kind", "from", "to", "bytes", "work"]);
        const [from, to] = [this.#slot(r.get("from")), this.#slot(r.get("to"))];
        if (from === to) r.get("to").fail("is the slot that is copied");
        return { kind, from, to, bytes: this.#symbols.size(r.get("bytes")), work };
      }
      case "clear":
        r.fields(["kind", "slot", "bytes", "work"]);
        return { kind, slot: this.#slot(r.get("slot")), bytes: this.#symbols.size(r.get("bytes")), work };
      case "dispatch":
        return this.#dispatch(r, kernels, work);
      default:
        return kind satisfies never;
    }
  }
  #dispatch(r: Reader, kernels: readonly ProgramKernel[], work: number | null): ProgramStep {
    const stands = r.isObject() && Object.hasOwn(r.value as object, "standIn");
    r.fields(["kind", "kernel", "slots", "uniforms", "workgroups", ...(stands ? ["standIn"] : []), "work"]);
    const kernel = r.get("kernel").index(kernels.length);
    const { access, uniforms: words } = kernels[kernel]!;
    const slots = r.get("slots").list((s) => this.#slot(s), MOST_DIMENSIONS);
    const uniforms = r
      .get("uniforms")
      .list((u): ProgramUniform => (u.isObject() ? readFloat(u) : this.#symbols.size(u)));
    if (slots.length !== access.length) r.get("slots").fail(`must be ${access.length} slots, found ${slots.length}`);
    if (uniforms.length !== words) r.get("uniforms").fail(`must be ${words} words, found ${uniforms.length}`);
    access.forEach((a, i) => {
      if (a === "read_write" && slots.indexOf(slots[i]!) !== slots.lastIndexOf(slots[i]!))
        r.get("slots").fail(`bind slot ${slots[i]!} twice, once to be written`);
    });
    const standIn = stands ? { standIn: this.#standIn(r.get("standIn")) } : {};
    return {
      kind: "dispatch",
      kernel,
      slots,
      uniforms,
      workgroups: this.#symbols.size(r.get("workgroups")),
      ...standIn,
      work,
    };
  }
  #standIn(r: Reader): ProgramStandIn {
    r.fields(["steps", "workgroups", "where"]);
    return {
      steps: r.get("steps").integer(1, MOST_DIMENSIONS),
      workgroups: this.#symbols.size(r.get("workgroups")),
      where: readCase(r.get("where")),
    };
  }
}

function readRequirements(r: Reader): Requirements {
  r.fields(["features", "subgroupSize"]);
  return {
    features: r.get("features").list((f) => f.oneOf(FEATURES), FEATURES.length),
    subgroupSize: r.get("subgroupSize").orNull(readSubgroupSize),
  };
}

function readCase(r: Reader): StandInCase {
  const kind = r.get("kind").oneOf(["spared", "shared", "promised"]);
  switch (kind) {
    case "spared":
    case "shared":
      r.fields(["kind", "each", "total"]);
      return { kind, each: r.get("each").integer(0), total: r.get("total").integer(0) };
    case "promised":
      r.fields(["kind", "promise"]);
      return { kind, promise: r.get("promise").oneOf(PROMISES) };
    default:
      return kind satisfies never;
  }
}

function readFloat(r: Reader): { readonly f32: number } {
  r.fields(["f32"]);
  return { f32: r.get("f32").number() };
}
