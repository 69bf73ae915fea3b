// Prints results for reading.
import type { Program } from "../../../runtime/program/program.js";
import type { Value, Values } from "../../verify/compare.js";
import type { GivenInputs, GivenTexts } from "./inputs.js";
import { observedRoutes, type ShownRoute } from "../../../runtime/program/observed-routes.js";
import { drawRoutes, type Strip } from "./routes.js";
import { pathsOfRoutes, observedEntries } from "../../../runtime/program/observed.js";
import { chosenFrom } from "../../../ground/size/count-rules.js";
import { lengthOn } from "../../../ground/size/lengths.js";
import { markOf } from "../terminal/depth.js";

/** Prints a run: results, losses, and a picture of the routes. */
export function showRun(program: Program, given: GivenInputs, values: Values, width: number): string {
  const parts: string[] = [];
  const routes = observedRoutes(program, values);
  const choices = observedChoices(program, values, routes);
  const drawn = new Set([...pathsOfRoutes(program.outputs), ...choices.map(({ path }) => path)]);
  for (const { name, role } of program.outputs) {
    const value = values.get(name);
    if (!value || (role === "observe" && drawn.has(name.replace(/\.(index|count)$/, "")))) continue;
    parts.push(
      role === "result" && given.texts && areLogits(value, given.texts)
        ? showNext(name, value, given.texts)
        : showValue(name, value),
    );
  }
  const batch = routes[0]?.chosen.length ?? choices[0]?.chosen.length ?? 0;
  const roots = [...new Set([...routes, ...choices].flatMap(({ root }) => root ?? []))];
  const drawable = roots.filter((root) => tokensOn(program, given, root, 0) !== null);
  const text = program.inputs.find((i) => i.dtype !== "f32" && i.shape.length === 2 && i.packing)?.packing?.axis;
  // The only axis of the inputs needs no name.
  const [only, ...more] = program.axes.filter((a) => a.role === "sequence" && a.count.kind === "input");
  for (let b = 0; b < batch; b++) {
    for (const root of drawable) {
      const tokens = tokensOn(program, given, root, b)!;
      if (tokens > 0) parts.push(showSequence(b, root, tokens));
    }
    const others = routes.filter(({ root }) => root === null || !drawable.includes(root));
    const counts = others.map(({ path, chosen }) => `${path} ${chosen[b]?.length ?? 0}, of an unobserved route`);
    if (counts.length > 0) parts.push([`\n${nameOf(b)}tokens computed`, ...counts].join("\n"));
  }
  return parts.join("\n");

  function nameOf(sequence: number): string {
    return batch > 1 ? `sequence ${sequence}: ` : "";
  }
  function showSequence(sequence: number, root: string, tokens: number): string {
    const own = routes.filter((route) => route.root === root);
    const among = choices.filter((choice) => choice.root === root);
    const along = root === only?.name && more.length === 0 ? "" : ` along ${root}`;
    const title = [
      ...(own.length > 0 ? [`tokens${along} computed (█) and skipped (·)`] : []),
      ...(among.length > 0 ? [`the experts of each token${along} (0–9, a–z, A–Z)`] : []),
    ].join("; ");
    const strips = among.flatMap((choice) => stripsOf(choice, sequence, tokens));
    const strip = root === text ? stripOf(given.texts, sequence) : null;
    const picture = drawRoutes(own, sequence, tokens, strip, width, strips);
    const loads = among.map((choice) => loadText(choice, sequence, tokens));
    return [`\n${nameOf(sequence)}${title}`, picture, ...loads].join("\n");
  }
}

/** The number of tokens of a sequence on an axis of the inputs, or on a fixed one; null for other axes. */
function tokensOn({ axes }: Program, { extents, lengths }: GivenInputs, name: string, sequence: number): number | null {
  const axis = axes.find((a) => a.name === name);
  if (axis?.role !== "sequence") return null;
  if (axis.count.kind === "fixed") return typeof axis.count.tokens === "number" ? axis.count.tokens : null;
  return axis.count.kind === "input" ? (lengthOn(lengths, name, sequence) ?? extents.get(name) ?? null) : null;
}

const stripOf = (texts: GivenTexts | null, sequence: number): string | null => {
  const tokens = texts?.tokens[sequence];
  return texts && tokens ? texts.reader.strip(tokens) : null;
};

const MOST_NEXT = 5;

/** Whether each token has a number for each token of the vocabulary, as the rows of an encoder do not. */
const areLogits = ({ shape }: Value, { vocabulary }: GivenTexts): boolean =>
  shape.length === 3 && shape[2] === vocabulary;

/** The logits at the end of each text, as the most likely tokens to come. */
function showNext(name: string, { shape, data }: Value, { tokens, reader }: GivenTexts): string {
  const [, T, V] = shape as [number, number, number];
  return tokens
    .map((text, b) => {
      const start = (b * T + text.length - 1) * V;
      const logits = Array.from({ length: V }, (_, v) => data[start + v]!);
      const most = logits.reduce((a, x) => (x > a ? x : a), -Infinity);
      const weights = logits.map((x) => Math.exp(x - most));
      const sum = weights.reduce((a, w) => a + w, 0);
      const best = [...weights.keys()].sort((i, j) => weights[j]! - weights[i]! || i - j).slice(0, MOST_NEXT);
      const after = tokens.length > 1 ? ` after sequence ${b}` : "";
      return (
        `${name}: most likely next ${reader.unit}s${after}: ` +
        best.map((v) => `${reader.show(v, text)} ${((100 * weights[v]!) / sum).toFixed(1)}%`).join("  ")
      );
    })
    .join("\n");
}

const MOST_VALUES = 64;

/**
 * Prints a value: `output: f32[1, 4, 1] = [[[1], [12], [2], [18]]]`; for large values the range, the mean and the first
 * few elements.
 */
export function showValue(name: string, { dtype, shape, data }: Value): string {
  const head = `${name}: ${dtype}[${shape.join(", ")}]`;
  if (data.length <= MOST_VALUES) return `${head} = ${nested(shape, data, dtype)}`;
  let [low, high, sum] = [Infinity, -Infinity, 0];
  for (let i = 0; i < data.length; i++) {
    const x = data[i]!;
    if (x < low) low = x;
    if (x > high) high = x;
    sum += x;
  }
  return (
    `${head}: from ${short(low)} to ${short(high)}, mean ${short(sum / data.length)}; begins ` +
    `${Array.from({ length: 6 }, (_, i) => short(data[i]!)).join(", ")}, …`
  );
}

function nested(shape: readonly number[], data: ArrayLike<number>, dtype: string): string {
  const at = (depth: number, offset: number, stride: number): string => {
    if (depth === shape.length) return dtype === "bool" ? String(data[offset] !== 0) : short(data[offset]!);
    const inner = shape[depth] === 0 ? 0 : stride / shape[depth]!;
    return `[${Array.from({ length: shape[depth]! }, (_, i) => at(depth + 1, offset + i * inner, inner)).join(", ")}]`;
  };
  return at(0, 0, data.length);
}

const short = (x: number): string => (Number.isInteger(x) ? String(x) : String(Number(x.toPrecision(6))));

export interface ShownChoice {
  /** `layers.0.mlp.chosen` */
  readonly path: string;
  /** The axis of the inputs, or the fixed one, whose tokens chose. */
  readonly root: string;
  /** By sequence, the tokens that chose, as positions on `root`, each with its entries. */
  readonly chosen: readonly ReadonlyMap<number, readonly number[]>[];
}

/**
 * Every observed choice among [B, T, E] of all tokens, or of those of an observed route, in the program's order.
 */
function observedChoices(
  program: Pick<Program, "axes" | "outputs">,
  values: Values,
  routes: readonly ShownRoute[],
): readonly ShownChoice[] {
  return program.outputs.flatMap((output): readonly ShownChoice[] => {
    const path = observedEntries(output);
    const [index, count] = [values.get(output.name), values.get(`${path}.count`)];
    if (path === null || !index || !count || output.packing?.tokenDim !== 1 || output.shape.length !== 3) return [];
    const { axis: name } = output.packing;
    const axis = program.axes.find((a) => a.name === name);
    const route = routes.find((r) => r.axis === name);
    const isRoute = axis?.role !== "sequence" || chosenFrom(axis.count) !== null;
    const root = route ? route.root : isRoute ? null : name;
    if (root === null) return [];
    const [batch = 0, rows = 0, slots = 0] = index.shape;
    const chosen = Array.from({ length: batch }, (_, b) => {
      const positions = route?.chosen[b] ?? Array.from({ length: rows }, (_row, t) => t);
      return new Map(
        positions.map((position, row) => {
          const at = b * rows + row;
          return [position, Array.from({ length: count.data[at]! }, (_entry, j) => index.data[at * slots + j]!)];
        }),
      );
    });
    return [{ path, root, chosen }];
  });
}

/** A strip for each place among the entries of a token: the entry as a digit, then letters; `·` where there is none. */
function stripsOf({ path, chosen }: ShownChoice, sequence: number, tokens: number): readonly Strip[] {
  const entriesByToken = Array.from({ length: tokens }, (_, t) => chosen[sequence]?.get(t) ?? []);
  const most = entriesByToken.reduce((n, entries) => Math.max(n, entries.length), 1);
  return Array.from({ length: most }, (_, j) => ({
    label: j === 0 ? path : "",
    cells: entriesByToken.map((entries) => (entries[j] === undefined ? "·" : markOf(entries[j]))).join(""),
  }));
}

/** `layers.0.mlp.chosen: 0 of 12 tokens, 3 of 9, 4 of 1`, the entries with the most tokens first. */
function loadText({ path, chosen }: ShownChoice, sequence: number, tokens: number): string {
  const loads = new Map<number, number>();
  for (const [t, entries] of chosen[sequence] ?? [])
    if (t < tokens) for (const e of entries) loads.set(e, (loads.get(e) ?? 0) + 1);
  const sorted = [...loads].sort(([e, n], [f, m]) => m - n || e - f);
  const shown = sorted.slice(0, LISTED).map(([e, n], i) => (i === 0 ? `${e} by ${n} tokens` : `${e} by ${n}`));
  const more = sorted.length - shown.length;
  return `${path}: ${shown.length === 0 ? "none" : shown.join(", ")}${more > 0 ? `, ${more} more` : ""}`;
}

/** Entries whose tokens are counted in a line. */
const LISTED = 12;
