// Serializes programs: prints them as readable JSON, and reads them back as untrusted input.
import { DTYPES, isFloat, type DType } from "../../ground/base/dtype.js";
import { ENCODING_NAMES, encodings } from "./encodings/index.js";
import {
  PROGRAM_FORMAT,
  PROGRAM_VERSION,
  PROMISES,
  weightBytes,
  type Program,
  type ProgramInput,
  type ProgramKernel,
  type ProgramOutput,
  type ProgramSlot,
  type ProgramState,
  type ProgramStep,
  type ProgramTable,
  type ProgramUniform,
  type ProgramWeight,
  type ProgramWeightSlot,
  type SizeText,
  type ProgramOrigin,
  type ProgramWork,
} from "./program.js";
import { checkWeightSlots, elementsOf, readLayout, readPart } from "./layout.js";
import {
  format,
  itself,
  list,
  object,
  objectWith,
  oneOf,
  orNull,
  placeIn,
  Reader,
  real,
  text,
  variant,
  version,
  whole,
  type Read,
} from "./reader.js";
import { MOST_DIMENSIONS, Symbols } from "./symbols.js";
import { readMatrices, readSubgroupSize, readTarget } from "./read-target.js";
import { FEATURES, ACTIVATION_TYPES, PINS, READS_TEXTURES, type Requirements } from "./target.js";
import { fitsTexture, isPacked, isTexture, MOST_TEXTURES, TEXELS, writesTo, type TextureFormat } from "./textures.js";

export { ProgramError } from "./reader.js";

/** Prints a program with one line for each slot, kernel and step. Equal programs give equal text. */
export function printProgram(program: Program): string {
  const lists = Object.entries(program).map(([key, value]) => {
    const long = Array.isArray(value) && value.length > 0;
    const text = long ? `[\n${value.map((v) => `  ${JSON.stringify(v)}`).join(",\n")}\n]` : JSON.stringify(value);
    return `${JSON.stringify(key)}: ${text}`;
  });
  return `{\n${lists.join(",\n")}\n}\n`;
}

/** Parses a program. Throws ProgramError, with the place in the data, for anything that a compiler would not write. */
export const parseProgram = (text: string): Program => readProgram(Reader.parse(text));

/** A program within other data. */
export function readProgram(root: Reader): Program {
  const at = object({
    format: format(PROGRAM_FORMAT),
    version: version(PROGRAM_VERSION),
    model: text,
    phase: oneOf(["infer", "train", "generate"]),
    entry: oneOf(["forward", "objective"]),
    target: readTarget,
    requires: readRequirements,
    precision: oneOf(ACTIVATION_TYPES),
    tunings: (r) => r.string(64),
    parameters: list(object({ name: text, value: text })),
    axes: itself,
    live: itself,
    inputs: itself,
    outputs: itself,
    weights: itself,
    ignore: list(text),
    states: itself,
    tables: itself,
    slots: itself,
    kernels: list(readKernel),
    steps: itself,
    works: itself,
    origins: list(readOrigin),
  })(root);
  const symbols = new Symbols(at.live, at.axes);
  const size: Read<SizeText> = (r) => symbols.size(r);
  const slots = at.slots.list(object({ bytes: size, label: text }));
  const works = at.works.list((r) => readWork(r, size, at.origins.length));
  const readSlot = placeIn(slots.length);
  const buffers = new Set<number>();
  const slot: Read<number> = (r) => {
    const index = readSlot(r);
    buffers.add(index);
    return index;
  };
  const cx: Context = { symbols, size, slots, slot, place: readSlot, buffers };
  const weights = at.weights.list((r) => readWeight(r, cx));
  checkWeightSlots(at.weights, weights);
  for (const [all, name] of [
    [at.inputs, "name"],
    [at.outputs, "name"],
    [at.weights, "path"],
    [at.states, "name"],
  ] as const)
    all.unique(name);
  const program = {
    ...at,
    axes: symbols.axes,
    live: symbols.live,
    inputs: at.inputs.list((r) => readInput(r, cx)),
    outputs: at.outputs.list((r) => readOutput(r, cx)),
    weights,
    states: at.states.list((r) => readState(r, cx, weights)),
    tables: at.tables.list((r) => readTable(r, cx)),
    slots,
    steps: at.steps.list((r) => readStep(r, cx, at.kernels, works.length)),
    works,
  };
  checkTextures(program, cx.buffers, at.steps);
  return program;
}

/** Checks that a slot bound as a texture is one everywhere, and that the program requires the features for textures. */
function checkTextures(program: Program, buffers: ReadonlySet<number>, at: Reader): void {
  const weightsBySlot = new Map<number, ProgramWeightSlot[]>();
  for (const weightSlot of program.weights.flatMap((w) => w.slots))
    weightsBySlot.set(weightSlot.slot, [...(weightsBySlot.get(weightSlot.slot) ?? []), weightSlot]);
  const holds = (format: TextureFormat, { form, layout }: ProgramWeightSlot): boolean =>
    encodings[form].texture === format && layout.kind === "panels" && layout.columns % 4 === 0;
  for (const { access, slots } of program.steps.flatMap((s) =>
    s.kind === "dispatch" ? [{ access: program.kernels[s.kernel]!.access, slots: s.slots }] : [],
  )) {
    const textures = access.filter(isTexture);
    if (textures.length > MOST_TEXTURES) at.fail(`bind ${textures.length} textures, of at most ${MOST_TEXTURES}`);
    if (textures.length > 0 && !program.requires.features.includes(READS_TEXTURES))
      at.fail(`read textures, and the program does not require ${READS_TEXTURES}`);
    access.forEach((mode, i) => {
      const slot = slots[i]!;
      if (isPacked(mode)) {
        if (weightsBySlot.has(slot) || buffers.has(slot))
          at.fail(`pack rows in slot ${slot}, which holds something else too`);
      } else if (isTexture(mode)) {
        const sound = weightsBySlot.get(slot)?.every((weight) => holds(mode, weight)) ?? false;
        if (!sound || buffers.has(slot) || !fitsTexture(program.slots[slot]!.bytes, mode))
          at.fail(`read slot ${slot} as a texture, which holds no weight of such texels, or is a buffer too`);
      }
    });
  }
}

/** The declarations that the parts of a program may refer to. */
interface Context {
  readonly symbols: Symbols;
  readonly slots: readonly ProgramSlot[];
  readonly size: Read<SizeText>;
  /** A slot that must be a buffer, and a slot that may be a texture. */
  readonly slot: Read<number>;
  readonly place: Read<number>;
  /** Slots read so far that are buffers. */
  readonly buffers: Set<number>;
}

const readParts: Read<Requirements> = objectWith(
  { features: list(oneOf(FEATURES), FEATURES.length), subgroupSize: orNull(readSubgroupSize) },
  { leastSubgroup: readSubgroupSize, matrices: readMatrices },
);
const readRequirements: Read<Requirements> = (r) => {
  const parts = readParts(r);
  if (parts.subgroupSize === null && parts.features.includes(PINS))
    r.fail(`name ${PINS}, and no size that kernels give their subgroups`);
  return parts;
};

// --- inputs and outputs

function readInput(r: Reader, { symbols, slot }: Context): ProgramInput {
  const input = object({
    name: text,
    dtype: oneOf(DTYPES),
    shape: (shape) => symbols.shape(shape),
    packing: itself,
    least: whole(-0x80000000, 0),
    below: orNull(whole(0)),
    slot: orNull(slot),
  })(r);
  return { ...input, packing: symbols.packing(input.packing, input.shape) };
}

function readOutput(r: Reader, { symbols, slot }: Context): ProgramOutput {
  const output = object({
    name: text,
    role: oneOf(["result", "loss", "observe", "update"]),
    dtype: oneOf(DTYPES),
    shape: (shape) => symbols.shape(shape),
    packing: itself,
    slot,
    parts: list(object({ slot, columns: whole(1) })),
    starts: itself,
  })(r);
  const { shape, parts } = output;
  const dim: Read<number> = placeIn(shape.length);
  const starts = output.starts.list(object({ dim, slot }), MOST_DIMENSIONS);
  const columns = parts.reduce((n, p) => n + p.columns, 0);
  const [first] = parts;
  if (first && columns !== shape.at(-1))
    r.get("parts").fail(`hold ${columns} columns of ${JSON.stringify(shape.at(-1) ?? null)}`);
  if (first && first.slot !== output.slot)
    r.get("parts").fail(`begin with slot ${first.slot}, not with ${output.slot}`);
  return { ...output, packing: symbols.packing(output.packing, shape), starts };
}

function readWeight(r: Reader, cx: Context): ProgramWeight {
  const weight = object({
    path: text,
    dtype: oneOf(DTYPES),
    shape: list(whole(0), MOST_DIMENSIONS),
    init: variant({
      zeros: {},
      ones: {},
      normal: { std: real },
      uniform: { low: real, high: real },
      orthogonal: { gain: real },
    }),
    keys: list(text),
    slots: itself,
  })(r);
  return { ...weight, slots: weight.slots.list((s) => readWeightSlot(s, weight, cx)) };
}

function readWeightSlot(
  r: Reader,
  { dtype, shape }: { readonly dtype: DType; readonly shape: readonly number[] },
  { place, slots }: Context,
): ProgramWeightSlot {
  const at = object({
    slot: place,
    form: oneOf(ENCODING_NAMES),
    layout: itself,
    part: orNull((part) => readPart(part, shape)),
  })(r);
  if (at.form !== "word" && !isFloat(dtype)) r.get("form").fail(`is ${at.form}, and the weight is ${dtype}`);
  const elements = elementsOf(shape, at.part);
  const layout = readLayout(at.layout, elements);
  const bytes = weightBytes(layout, elements, at.form);
  if (slots[at.slot]!.bytes !== bytes)
    r.get("slot").fail(`is ${at.slot}, which has not the ${bytes} bytes of the weight`);
  return { ...at, layout };
}

const readState = (r: Reader, { symbols, slot }: Context, weights: readonly ProgramWeight[]): ProgramState =>
  object({
    name: text,
    dtype: oneOf(DTYPES),
    shape: (shape) => symbols.shape(shape),
    init: variant({
      zeros: {},
      filled: { value: whole(0, 0xffffffff) },
      weight: {
        path: (path) =>
          weights.some((w) => w.path === path.value)
            ? path.string()
            : path.fail(`is ${JSON.stringify(path.string())}, which is not a weight`),
      },
    }),
    slot,
  })(r);

function readTable(r: Reader, { symbols, size, slot }: Context): ProgramTable {
  const axis = (fault: (name: string) => string | null): Read<string> => {
    return (at) => {
      const name = symbols.sequence(at);
      const message = fault(name);
      return message === null ? name : at.fail(message);
    };
  };
  const counted = axis((name) =>
    symbols.onDevice(name) ? `is ${JSON.stringify(name)}, whose counts only the device knows` : null,
  );
  const madeBy = (kind: string): Read<string> =>
    axis((name) => (symbols.ruleOf(name)?.kind === kind ? null : `${JSON.stringify(name)} has no table of this kind`));
  const table = variant({
    starts: { axis: counted, slot },
    counts: { axis: counted, slot },
    positions: { axis: counted, slot },
    segments: { axis: counted, slot },
    k: { axis: madeBy("top"), slot },
    span: { axis: madeBy("span"), slot },
    size: { size: (at) => symbols.size(at, -Number.MAX_SAFE_INTEGER), dtype: oneOf(["f32", "u32", "i32"]), slot },
    live: {
      name: (at) =>
        symbols.isLive(at.string()) ? at.string() : at.fail(`${JSON.stringify(at.string())} is not a live parameter`),
      slot,
    },
    literal: { values: list(real), slot },
    seed: { slot },
    rope: { positions: size, width: whole(2), theta: real, frequencies: orNull(list(real)), scale: real, slot },
  })(r);
  if (table.kind !== "rope") return table;
  const { width, frequencies } = table;
  if (width % 2 !== 0) r.get("width").fail(`must be even, found ${width}`);
  if (frequencies && frequencies.length !== width / 2)
    r.get("frequencies").fail(`must be ${width / 2} numbers, found ${frequencies.length}`);
  return table;
}

// --- kernels and steps

const ACCESSES = ["read", "read_write", "packed", "packed_write", ...Object.keys(TEXELS)] as ProgramKernel["access"];

const readKernel: Read<ProgramKernel> = object({
  name: text,
  wgsl: (wgsl) => wgsl.string(1_000_000),
  access: list(oneOf(ACCESSES), MOST_DIMENSIONS),
  uniforms: whole(0, 4096),
  tuning: text,
});

function readStep(
  r: Reader,
  { size, slot, place, buffers }: Context,
  kernels: readonly ProgramKernel[],
  works: number,
): ProgramStep {
  const work = orNull(placeIn(works));
  const stands = r.isObject() &&
    Object.hasOwn(r.value as object, "standIn") && {
      standIn: object({ steps: whole(1, MOST_DIMENSIONS), workgroups: size, where: readCase }),
    };
  const step = variant({
    dispatch: {
      kernel: placeIn(kernels.length),
      slots: list(place, MOST_DIMENSIONS),
      uniforms: list((u): ProgramUniform => (u.isObject() ? readFloat(u) : size(u))),
      workgroups: size,
      ...stands,
      work,
    },
    copy: { from: slot, to: slot, bytes: size, work },
    clear: { slot, bytes: size, work },
  })(r);
  if (step.kind === "copy" && step.from === step.to) r.get("to").fail("is the slot that is copied");
  if (step.kind !== "dispatch") return step;
  const { slots, uniforms } = step;
  const { access, uniforms: words } = kernels[step.kernel]!;
  if (slots.length !== access.length) r.get("slots").fail(`must be ${access.length} slots, found ${slots.length}`);
  if (uniforms.length !== words) r.get("uniforms").fail(`must be ${words} words, found ${uniforms.length}`);
  access.forEach((a, i) => {
    if (!isTexture(a)) buffers.add(slots[i]!);
    if (writesTo(a) && slots.indexOf(slots[i]!) !== slots.lastIndexOf(slots[i]!))
      r.get("slots").fail(`bind slot ${slots[i]!} twice, once to be written`);
  });
  return step;
}

const readFloat = object({ f32: real });

const readCase = variant({
  spared: { each: whole(0), total: whole(0) },
  shared: { each: whole(0), total: whole(0) },
  promised: { promise: oneOf(PROMISES) },
});

/** Reads an entry of `works`; `origins`: the number of origins. */
function readWork(r: Reader, size: Read<SizeText>, origins: number): ProgramWork {
  const origin = orNull(placeIn(origins));
  const dense = Object.hasOwn(r.value as object, "denseFlops") ? { denseFlops: size } : {};
  const work = object<Omit<ProgramWork, "main"> & { readonly main: Reader }>({
    ops: list(object({ op: text, origin })),
    main: itself,
    flops: size,
    ...dense,
    bytes: size,
  })(r);
  return { ...work, main: placeIn(work.ops.length)(work.main) };
}

const readOrigin: Read<ProgramOrigin> = object({ path: text, file: text, line: whole(0) });
