// Chooses the values that are stored in an encoding other than words: weights and activations. Everything else, and all
// arithmetic, is f32.
import { readersOf } from "../../../ground/base/collections.js";
import { isFloat } from "../../../ground/base/dtype.js";
import { isPointwise, isView, isOp, type Node, isScatter } from "../../ir/graph.js";
import { equalShapes } from "../../ir/typing.js";
import { ops } from "../../ops/index.js";
import { fits, type Encoding } from "../../../runtime/program/encodings/encoding.js";
import { encodings, type EncodingName } from "../../../runtime/program/encodings/index.js";
import type { StorageTypes } from "../../../runtime/program/target.js";
import type { Size } from "../../../ground/size/size.js";
import type { Value } from "../addressing/layout.js";
import { isProductBy } from "../analysis/side-by-side.js";
import type { Codec, ElementCodec } from "../codecs/codec.js";
import { activationCodecs, weightCodecs } from "../codecs/index.js";
import { words } from "../codecs/words.js";
import { statesBehind, type KernelGraph } from "../fusion/kernel-graph.js";
import type { FusedKernel } from "../kernels/fused-kernel.js";

/** Values that are not stored in words. */
export interface Encoded {
  /** Values with one buffer element each: activations, and weights of the same encoding. */
  readonly elements: ReadonlyMap<Value, ElementCodec>;
  /** Weights that are decoded by the kernels that read them. */
  readonly packed: ReadonlyMap<Value, Codec>;
  /** Products that sum across the blocks of a weight, such as gradients. The weight is decoded before they run. */
  readonly across: ReadonlySet<FusedKernel>;
  /** Products and attention that may round operands to f16, however these are stored. */
  readonly rounding: ReadonlySet<Node>;
}

/** `only`: paths of the weights that may be decoded; null: any. */
export function encodedValues(
  fused: KernelGraph,
  { weights, activations, products }: StorageTypes,
  only: ReadonlySet<string> | null = null,
): Encoded {
  const rounding: ReadonlySet<Node> = products === "f16" ? mayRound(fused) : new Set();
  const element = activationCodecs[activations];
  const codec = weightCodecs[weights === "f32" ? "word" : weights];
  const none: Encoded = { elements: new Map(), packed: new Map(), across: new Set(), rounding };
  if (element !== words)
    return { ...none, elements: new Map(encodableActivations(fused).map((value) => [value, element])) };
  if (codec === words) return none;
  const { values, across } = decodedWeights(fused, encodings[codec.encoding], only);
  return { ...none, packed: new Map(values.map((value) => [value, codec])), across };
}

/** Those whose second operand, a weight or keys, no choice depends on. */
function mayRound(fused: KernelGraph): ReadonlySet<Node> {
  const exact = readForChoices(fused);
  return new Set(fused.order.filter((n) => ops[n.op].work !== undefined && !exact.has(n.inputs[1])));
}

/**
 * Floats that all their kernels can read and write encoded, with three exceptions: inputs, results, states and tables;
 * accumulated values such as the residual stream, in which the rounding of every layer would add up; and the scores of
 * choices with everything read for them, so that no route depends on the storage type.
 */
function encodableActivations(fused: KernelGraph): readonly Value[] {
  const { order, kernels, layouts, results, sources } = fused;
  const unencoded = new Set<Value>([...results.required].map((node) => layouts.valueOf(node)));
  for (const node of [...order.filter(accumulates), ...readForChoices(fused)]) {
    const value = isOp(node, "constant") ? layouts.valueOf(node) : layouts.of(node)?.value;
    if (value) unencoded.add(value);
  }
  for (const { reads, writes, inWords, takesOver } of kernels) {
    for (const value of inWords) unencoded.add(value);
    takesOver.forEach((taken, i) => {
      if (taken !== null) unencoded.add(reads[taken]!).add(writes[i]!.value);
    });
  }
  const all = kernels.flatMap(({ reads, writes }) => [...reads, ...writes.map((w) => w.value)]);
  const isGiven = (node: Node): boolean =>
    (sources.of(node) !== null && !isOp(node, "weight")) || statesBehind(node).length > 0;
  return all.filter((value) => {
    const { node, result } = value;
    return isFloat(node.types[result]!.dtype) && !isGiven(node) && !unencoded.has(value);
  });
}

/**
 * Weights that all their readers can decode: weights of products, and lookup tables; not weights read for choices, so
 * that no route depends on the storage type. Decoding needs no device feature. Blocks divide the depth of a product and
 * along the rows of a table, which must be whole blocks and the same for all readers; but the products of gradients,
 * which come later, may sum across them. What a weight is must not depend on who reads it: one that any reader needs in
 * words is in words for all.
 */
function decodedWeights(
  fused: KernelGraph,
  encoding: Encoding,
  only: ReadonlySet<string> | null,
): { readonly values: readonly Value[]; readonly across: ReadonlySet<FusedKernel> } {
  const { graph, kernels, layouts, results, packed } = fused;
  const partsOf = (value: Value): readonly Node[] => (packed.has(value.node) ? value.node.inputs : [value.node]);
  const pathsOf = (value: Value): readonly string[] =>
    partsOf(value).flatMap((n) => (isOp(n, "weight") ? [n.attrs.path] : []));
  const differentiated = graph.outputs.some((o) => o.role === "loss");
  const readings = kernels.flatMap((kernel) =>
    kernel.reads.flatMap((value) => {
      const weights = partsOf(value).filter((n) => isOp(n, "weight"));
      if (weights.length === 0) return [];
      const product = kernel.nodes.find((n) => isProductBy(n, value.node)) ?? null;
      const readable =
        weights.length === partsOf(value).length &&
        weights.every((n) => n.attrs.dtype === "f32" && (only?.has(n.attrs.path) ?? true)) &&
        value === kernel.decodes &&
        !results.required.has(value.node);
      return [{ kernel, value, weights, axis: product && !product.attrs.transposed ? -2 : -1, product, readable }];
    }),
  );
  /** The axis along which a weight is divided into blocks: the axis that its first reader needs. */
  const axes = new Map<string, number>();
  for (const { weights, axis } of readings)
    for (const { attrs } of weights) axes.set(attrs.path, axes.get(attrs.path) ?? axis);
  const isAlong = ({ weights, axis }: (typeof readings)[number]): boolean =>
    (!differentiated && encoding.block.values === 1) || weights.every((n) => axes.get(n.attrs.path) === axis);
  const along = readings.filter((r) => r.readable && isAlong(r));
  const stored = new Set(along.flatMap((r) => r.weights));
  const [values, across] = [new Set<Value>(), new Set<FusedKernel>()];
  const plainStates = new Set<string>();
  for (const node of readForChoices(fused))
    for (const path of pathsOf(layouts.of(node)?.value ?? layouts.result(node, 0))) plainStates.add(path);
  for (const reading of readings) {
    const { kernel, value, weights, axis, product, readable } = reading;
    const turned = !isAlong(reading);
    const decodable = turned
      ? differentiated && product !== null && weights.every((n) => stored.has(n) && axes.get(n.attrs.path) !== axis)
      : weights.every((n) => fits(encoding, n.attrs.shape.at(axis)!));
    if (readable && decodable) values.add(value);
    else for (const { attrs } of weights) plainStates.add(attrs.path);
    if (turned) across.add(kernel);
  }
  // One of several weights that lie in one slot keeps the others in words too.
  for (let before = -1; before < plainStates.size;) {
    before = plainStates.size;
    for (const value of values)
      if (pathsOf(value).some((path) => plainStates.has(path)))
        for (const path of pathsOf(value)) plainStates.add(path);
  }
  return { values: [...values].filter((value) => !pathsOf(value).some((path) => plainStates.has(path))), across };
}

/**
 * The encodings of nodes whose first results are not stored in words. A concatenation of weights gives its inputs'
 * encoding.
 */
export function encodingsOf(
  encoded: Encoded,
  { order, packed, layouts }: KernelGraph,
): ReadonlyMap<Node, EncodingName> {
  const codecs = new Map<Value, Codec>([...encoded.elements, ...encoded.packed]);
  if (codecs.size === 0) return new Map();
  return new Map(
    order.flatMap((node) => {
      const value = packed.has(node) ? layouts.result(node, 0) : layouts.of(node)?.value;
      const codec = value && codecs.get(value);
      return codec ? (packed.has(node) ? node.inputs : [node]).map((n) => [n, codec.encoding] as const) : [];
    }),
  );
}

/**
 * Whether a node accumulates: rows put into others, and sums of two values of one shape; adding a broadcast bias does
 * not count.
 */
function accumulates(node: Node): boolean {
  if (isScatter(node)) return true;
  if (!isOp(node, "add") && !isOp(node, "sub")) return false;
  return node.inputs.every(
    (n) => !isOp(n, "constant") && !isOp(n, "broadcast") && equalShapes(n.types[0]!.shape, node.types[0]!.shape),
  );
}

/**
 * Scores of choices, nodes that only they read, and everything that kernels read to compute these, including weights of
 * products.
 */
function readForChoices({ order, results: { required }, layouts }: KernelGraph): ReadonlySet<Node> {
  const readers = readersOf(order);
  const scores = new Set(order.flatMap((node) => (ops[node.op].chooses ?? []).map((i) => node.inputs[i]!)));
  const experts = new Set<Size>(
    [...scores].flatMap(({ types: [type] }) => type!.shape.slice(1).filter((n) => typeof n === "number")),
  );
  const choosing = new Set<Node>();
  for (const node of order.toReversed()) {
    const nodeReaders = readers.get(node) ?? [];
    if (
      scores.has(node) ||
      (nodeReaders.length > 0 && !required.has(node) && nodeReaders.every((r) => choosing.has(r)))
    )
      choosing.add(node);
  }
  const read = new Set<Node>();
  const pending = [...choosing].flatMap((node) => [node, ...node.inputs]);
  for (let node = pending.pop(); node; node = pending.pop()) {
    if (read.has(node)) continue;
    read.add(node);
    if (isOp(node, "matmul")) pending.push(node.inputs[1]);
    // An inlined node reads what its inputs store; a view reads its base.
    if (isView(node)) pending.push(node.inputs[0]);
    else if (isPointwise(node) && !layouts.of(node)) pending.push(...node.inputs);
    else if (scoresExperts(node)) pending.push(...node.inputs.filter(scoresExperts));
  }
  return read;

  /** Whether a node has a number for each of the experts that scores are for, as their gates have too. */
  function scoresExperts({ types }: Node): boolean {
    const { shape } = types[0]!;
    return shape.length > 1 && experts.has(shape.at(-1)!);
  }
}
