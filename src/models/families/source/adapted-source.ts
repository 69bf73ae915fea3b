// Rewrites the source of a model: `Linear` of the library becomes `LoRA` where adapters are wanted.
import { countOf } from "../../../ground/base/collections.js";
import { bug } from "../../../ground/base/invariant.js";
import { check } from "../../../language/check/check.js";
import type { Instance, Model } from "../../../language/check/model/model.js";
import type { Read } from "../../../language/check/names/files.js";
import { SourceError } from "../../../language/diagnostics/errors.js";
import { lineAndColumn, type SourceFile, type Span } from "../../../language/diagnostics/span.js";
import { formatSource } from "../../../language/syntax/format/format-source.js";
import { parse } from "../../../language/syntax/parse.js";
import type { AdapterSizes } from "../description/adapter-config.js";
import { CheckpointError } from "../description/errors.js";

export interface Adapting {
  /** Whether the layer of that path gets an adapter: `layers.0.inner.attn.q`. */
  readonly on: (path: string) => boolean;
  /** The sizes of the adapter of the layer at that path. */
  readonly sizes: (path: string) => AdapterSizes;
}

export interface Adapted {
  /** The model's name. */
  readonly model: string;
  /** The source in the canonical form. */
  readonly text: string;
  /** The paths of layers with adapters. */
  readonly paths: readonly string[];
  /** The number of the adapters' weights. */
  readonly added: number;
}

export interface AdaptedFrom {
  readonly source: SourceFile;
  readonly read: Read;
  readonly set: Readonly<Record<string, string>>;
  readonly model: string | null;
}

const [PLAIN, WITH_ADAPTER, LIBRARY] = ["Linear", "LoRA", "std"] as const;

const isPlain = ({ library, block }: Instance): boolean => library && block === PLAIN;

/** A layer that can get an adapter, and the keys of its weight. */
export interface LinearLayer {
  readonly path: string;
  readonly keys: readonly string[];
}

/** All layers that can get an adapter. Throws SourceError. */
export function linearLayers(from: AdaptedFrom): readonly LinearLayer[] {
  const { instances, weights } = modelOf(from);
  const keys = new Map(weights.map((weight) => [weight.path, weight.keys]));
  return instances.filter(isPlain).map(({ path }) => ({ path, keys: keys.get(`${path}.weight`) ?? [] }));
}

/** The paths of all layers that can get an adapter. Throws SourceError. */
export const adaptable = (from: AdaptedFrom): readonly string[] => linearLayers(from).map(({ path }) => path);

/**
 * The source of the same model with adapters on some of its linear layers. All other weights keep their paths. Throws
 * SourceError for a source with errors, and CheckpointError for layers that the source cannot tell apart, or that
 * another file creates.
 */
export function adaptedSource(from: AdaptedFrom, { on, sizes }: Adapting): Adapted {
  const { source } = from;
  const before = modelOf(from);
  const chosen = before.instances.filter((instance) => isPlain(instance) && on(instance.path));
  const spans = new Map(chosen.map(({ span }) => [placeOf(span), span]));
  const missed = before.instances.find((i) => isPlain(i) && spans.has(placeOf(i.span)) && !on(i.path));
  if (missed) throw together(source, chosen, missed);
  const far = chosen.find(({ span }) => span.file !== source.file);
  if (far)
    throw new CheckpointError("bad-option", `${far.path} is created in ${far.span.file}, not in ${source.file}`, {
      hint: `adapters are written into one file: write the block that creates the layer into ${source.file}`,
    });
  const edits = [...spans.values()].flatMap((span) =>
    withAdapter(source.text, span, sizesAt(source, span, chosen, sizes)),
  );
  const replaced = imported(edited(source.text, edits), source.file);
  const text = formatSource(replaced, source.file).text ?? bug("the source with adapters does not parse");
  const after = modelOf({ ...from, source: { file: source.file, text } });
  const known = new Set(before.weights.map(({ path }) => path));
  const added = after.weights.filter(({ path }) => !known.has(path));
  return {
    model: after.name,
    text,
    paths: chosen.map(({ path }) => path),
    added: added.reduce((sum, { shape }) => sum + countOf(shape), 0),
  };
}

function modelOf({ source, read, set, model: name }: AdaptedFrom): Model {
  const given = { phase: "infer", read, set, ...(name === null ? {} : { model: name }) } as const;
  const { model, diagnostics, sources } = check(source, given);
  if (!model) throw new SourceError(diagnostics, sources);
  return model;
}

const placeOf = ({ file, start }: Span): string => `${file}:${start}`;

const pathAt = (instances: readonly Instance[], span: Span): string =>
  instances.find((i) => placeOf(i.span) === placeOf(span))!.path; // the span is an instance's

/** The error for one expression that creates layers with and without an adapter. */
function together(source: SourceFile, chosen: readonly Instance[], missed: Instance): CheckpointError {
  const { line } = lineAndColumn(source.text, missed.span.start);
  const place = missed.span.file === source.file ? `line ${line}` : missed.span.file;
  return new CheckpointError(
    "bad-option",
    `${place} creates ${pathAt(chosen, missed.span)} with an adapter and ${missed.path} without one, by one expression`,
    { hint: "choose all layers that one expression creates, such as attn.q, or write LoRA into the source" },
  );
}

/** The sizes of the adapters that the expression at `span` creates. Throws CheckpointError if they differ. */
function sizesAt(source: SourceFile, span: Span, chosen: readonly Instance[], sizes: Adapting["sizes"]): AdapterSizes {
  const paths = chosen.filter((instance) => placeOf(instance.span) === placeOf(span)).map(({ path }) => path);
  const first = sizes(paths[0]!); // the span is a chosen layer's
  const other = paths.find((path) => sizes(path).rank !== first.rank || sizes(path).alpha !== first.alpha);
  if (other === undefined) return first;
  const said = (path: string): string => `${path} with rank ${sizes(path).rank} and alpha ${sizes(path).alpha}`;
  throw new CheckpointError(
    "bad-option",
    `line ${lineAndColumn(source.text, span.start).line} creates adapters of several sizes by one expression: ` +
      `${said(paths[0]!)}, ${said(other)}`,
    { hint: "a source has one size for all layers that one expression creates" },
  );
}

/** A text in place of a part of the source. */
interface Edit {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

const edited = (text: string, edits: readonly Edit[]): string =>
  [...edits]
    .sort((a, b) => b.start - a.start)
    .reduce((now, { start, end, text: by }) => now.slice(0, start) + by + now.slice(end), text);

/**
 * `LoRA(…)` in place of the call `Linear(d_in, d_out, bias)`: the bias has its name, since it is no longer the third
 * parameter, and is written out, since LoRA has none by default.
 */
function withAdapter(text: string, { start, end }: Span, { rank, alpha }: AdapterSizes): Edit[] {
  const args = argumentsOf(text.slice(start, end));
  const hasBias = args.length > 2 || args.some(({ name }) => name === "bias");
  const after = start + (args.at(-1)?.until ?? bug("a linear layer without its widths"));
  const more = [`rank: ${rank}`, `alpha: ${decimal(alpha)}`, ...(hasBias ? [] : ["bias: true"])].join(", ");
  const third = args[2];
  return [
    { start, end: start + PLAIN.length, text: WITH_ADAPTER },
    ...(third && third.name === null ? [{ start: start + third.at, end: start + third.at, text: "bias: " }] : []),
    { start: after, end: after, text: `, ${more}` },
  ];
}

interface Argument {
  readonly name: string | null;
  /** Offsets in the call's text. */
  readonly at: number;
  readonly until: number;
}

/** The arguments of a call, by its text. */
function argumentsOf(call: string): readonly Argument[] {
  const before = "const call = ";
  const [only] = parse({ file: "call", text: before + call }).file.declarations;
  if (only?.kind !== "const" || only.value.kind !== "call") bug("a linear layer is not created by a call");
  return only.value.args.map(({ name, span }) => ({
    name: name?.text ?? null,
    at: span.start - before.length,
    until: span.end - before.length,
  }));
}

/** A number as a float of the language. */
const decimal = (value: number): string => {
  const text = `${value}`.replace("e+", "e");
  return /^-?\d+$/.test(text) ? `${text}.0` : text;
};

/** Imports `LoRA` from the library in place of `Linear`, or both if some layers are plain. */
function imported(text: string, file: string): string {
  const tree = parse({ file, text }).file;
  const own = tree.imports.find(({ from, names }) => from === LIBRARY && names.some((name) => name.text === PLAIN));
  if (!own) bug("the source imports no linear layer");
  const others = tree.imports.flatMap(({ from, names }) => (from === LIBRARY ? names.map((name) => name.text) : []));
  const isUsed = new RegExp(String.raw`\b${PLAIN}\b`).test(text.slice(own.span.end));
  const names = own.names.map((name) => name.text).filter((name) => name !== PLAIN || isUsed);
  const all = others.includes(WITH_ADAPTER) ? names : [...names, WITH_ADAPTER];
  const sorted = all.sort((a, b) => (a.toLowerCase() < b.toLowerCase() ? -1 : 1));
  const line = `import { ${sorted.join(", ")} } from "${LIBRARY}"`;
  return edited(text, [{ start: own.span.start, end: own.span.end, text: sorted.length === 0 ? "" : line }]);
}
