// Linear attention in ONNX: products of chunks of tokens, and one state for each chunk.
import type { Value } from "../../../language/check/model/model.js";
import type { Name } from "./graph.js";
import { cachesOn, kept, type Scope } from "./scope.js";
import { mostRows, moved, summedUp, type Step } from "./shifts.js";

/** The most tokens of a chunk: with one decay for each dimension of a key, products of a chunk take as many more. */
const LONGEST = { head: 64, dimension: 16 };
/** exp of this is 0 in f32, and sums of it with smaller numbers stay finite. */
const NOTHING_LEFT = -1e4;
/** The dimension of chunks in [B, H, N, C, …]. */
const CHUNKS = 2;

/** exp(Σ log decay) of the tokens of a chunk, [B, h, N, …]. k: the width of keys, or 1. */
interface Decays {
  /** [C, k]: from the beginning of the chunk up to each token; up to the token before; from behind each to the end. */
  readonly from: Name;
  readonly before: Name;
  readonly behind: Name;
  /** The logarithm of the whole chunk, [k, 1]. */
  readonly whole: Name;
  /** [C, C], or [k, C, C]: from behind token s up to t, and up to the token before t; 0 where that is no token. */
  readonly between: Name;
  readonly betweenBefore: Name;
}

export function linearAttention(cx: Scope, value: Value<"linear_attention">): Name {
  const { at, graph, axes } = cx;
  const { decays: hasDecays, forgets, scale } = value.attrs;
  const [q, k, v, ...more] = value.inputs;
  const axis = axes.sequenceOf(v!.type.shape[2])!;
  const most = mostRows(cx, axis, value.path);
  const perDimension = hasDecays && more[0]!.type.shape.length === 4;
  const longest = perDimension ? LONGEST.dimension : LONGEST.head;
  const C = Math.min(longest, 2 ** Math.ceil(Math.log2(Math.max(1, most))));
  const heads = Number(v!.type.shape[1]);
  const chunks = new Chunks(cx, axis, C, heads);
  const [queries, keys, values] = [q!, k!, v!].map((x) => chunks.ofRows(x, cx.get(x)));
  const decays = hasDecays ? chunks.decays(more[0]!, cx.get(more[0]!)) : null;
  const { lower, strict } = chunks;
  const times = (x: Name, factor: Name | undefined): Name => (factor === undefined ? x : at.mul(x, factor));
  const between = (a: Name, b: Name, weights: Name): Name => {
    if (!perDimension) return at.mul(at.matmul(a, turned(cx, b)), weights);
    // [B, H, N, K, C, C]
    const [rows, columns] = [at.unsqueeze(turned(cx, a), 5), at.unsqueeze(turned(cx, b), 4)];
    return at.reduce("Sum", at.mul(at.mul(rows, columns), weights), [3], false);
  };
  const sees = decays?.between ?? lower;
  const toEnd = turned(cx, times(keys!, decays?.behind));
  let direct = at.matmul(between(queries!, keys!, sees), values!);
  let ofState = times(queries!, decays?.from);
  let added = at.matmul(toEnd, values!);
  let step: Step = decays && { log: decays.whole };
  if (forgets) {
    const [forget, place] = more.slice(-2).map((x) => chunks.ofRows(x, cx.get(x)));
    const past = decays?.betweenBefore ?? strict;
    const inverse = chunks.inverse(between(place!, forget!, past));
    const recalled = at.matmul(inverse, times(place!, decays?.before)); // of the state, [C, K]
    const own = at.matmul(inverse, at.matmul(between(place!, keys!, past), values!)); // of the chunk itself, [C, V]
    const forgotten = turned(cx, times(forget!, decays?.behind));
    const seen = between(queries!, forget!, sees);
    direct = at.sub(direct, at.matmul(seen, own));
    ofState = at.sub(ofState, at.matmul(seen, recalled));
    added = at.sub(added, at.matmul(forgotten, own));
    const width = Number(k!.type.shape[3]);
    const whole =
      decays === null ? identity(cx, width) : at.mul(identity(cx, width), graph.node("Exp", [decays.whole]));
    step = { matrix: at.sub(whole, at.matmul(forgotten, recalled)) };
  }
  const state = cachesOn(cx, axis)?.state(value, "state", [
    v!.type.shape[0]!,
    heads,
    k!.type.shape[3]!,
    v!.type.shape[3]!,
  ]);
  const states = chunks.states(added, step, Math.ceil(most / C), state?.past ?? null);
  state?.keep(states.last);
  const result = chunks.together(at.add(direct, at.matmul(ofState, states.before)), Number(v!.type.shape[3]));
  return scale === 1 ? result : at.mul(result, graph.float(scale));
}

/** The last two dimensions of a chunk swapped. */
const turned = ({ at }: Scope, x: Name): Name => at.transpose(x, [0, 1, 2, 4, 3]);

const square = ({ graph }: Scope, n: number, is: (row: number, column: number) => boolean): Name =>
  graph.constant(
    "f32",
    [n, n],
    Array.from({ length: n * n }, (_, i) => Number(is(Math.floor(i / n), i % n))),
  );

const identity = (cx: Scope, n: number): Name => square(cx, n, (t, s) => t === s);

/** The tokens of an axis in chunks of C, the last filled up with zeros. */
class Chunks {
  /** [C, C]: 1 where token s is not behind t; where it is before t. */
  readonly lower: Name;
  readonly strict: Name;
  /** i64[1]: the number of chunks. */
  readonly #count: Name;

  constructor(
    private readonly cx: Scope,
    private readonly axis: string,
    private readonly C: number,
    private readonly heads: number,
  ) {
    const { at, graph, axes } = cx;
    this.lower = square(cx, C, (t, s) => s <= t);
    this.strict = square(cx, C, (t, s) => s < t);
    const { length } = axes.rows(axis);
    this.#count = at.div(at.add(length, graph.ints(C - 1)), graph.ints(C));
  }

  /** [B, G, T, K] as [B, 1 or H, N, C, K]. */
  ofRows({ type: { shape } }: Value, x: Name): Name {
    const { at, graph } = this.cx;
    const groups = Number(shape[1]);
    const own = this.#chunked(this.#existing(x, 4), groups, Number(shape[3]));
    if (groups === 1 || groups === this.heads) return own;
    const each = graph.node("Expand", [at.unsqueeze(own, 2), graph.ints(1, 1, this.heads / groups, 1, 1, 1)]);
    const rest = graph.ints(this.C, Number(shape[3]));
    return at.reshapeTo(each, at.concat([at.dim(own, 0), graph.ints(this.heads), this.#count, rest], 0));
  }

  /** Log decays of shape [], [B, h, T] or [B, h, T, K], with 1 for h or the heads of v. */
  decays({ type: { shape } }: Value, x: Name): Decays {
    const { cx, lower, strict } = this;
    const { at, graph, axes } = cx;
    const tokens = at.concat([graph.ints(1, 1), axes.rows(this.axis).length], 0);
    const each = shape.length === 0 ? graph.node("Expand", [x, tokens]) : x;
    const rows = this.#existing(shape.length === 4 ? each : at.unsqueeze(each, 3), 4);
    const finite = at.max(rows, graph.float(NOTHING_LEFT));
    const log = this.#chunked(finite, Number(shape[1] ?? 1), Number(shape[3] ?? 1));
    const exp = (y: Name): Name => graph.node("Exp", [y]);
    const sums = (of: Name): Name => turned(cx, this.#timesSquare(turned(cx, log), of));
    const across = shape.length === 4 ? at.unsqueeze(turned(cx, log), 4) : turned(cx, log);
    // Sums of the tokens between, rather than differences of sums, so that no digits are lost.
    const between = (to: Name): Name => at.mul(exp(this.#timesSquare(at.mul(across, to), strict)), to);
    return {
      from: exp(sums(at.transpose(lower, [1, 0]))),
      before: exp(sums(at.transpose(strict, [1, 0]))),
      behind: exp(sums(strict)),
      whole: turned(cx, at.reduce("Sum", log, [3], true)),
      between: between(lower),
      betweenBefore: between(strict),
    };
  }

  /** (1 + x)⁻¹ of x [C, C] below its diagonal, from inverses of blocks of 1, 2, 4, … rows on the diagonal. */
  inverse(x: Name): Name {
    const { cx, C } = this;
    const { at } = cx;
    const beside = (n: number): Name => {
      const block = (i: number): number => Math.floor(i / n);
      return at.mul(
        x,
        square(cx, C, (t, s) => block(t) % 2 === 1 && block(s) === block(t) - 1),
      );
    };
    let inverse = at.sub(identity(cx, C), beside(1));
    for (let n = 2; n < C; n *= 2) inverse = at.sub(inverse, at.matmul(at.matmul(inverse, beside(n)), inverse));
    return inverse;
  }

  /** The states before each chunk, [B, H, N, K, V], and behind the last, [B, H, K, V]; `past`: before the first. */
  states(added: Name, step: Step, most: number, past: Name | null): { readonly before: Name; readonly last: Name } {
    const { cx } = this;
    const { at, graph } = cx;
    const along = { rank: 5, dim: CHUNKS, reverse: false };
    if (past === null) {
      const sums = summedUp(cx, added, step, { ...along, length: this.#count, most });
      return { before: moved(cx, sums, 5, CHUNKS, 1, this.#count), last: sums };
    }
    const first = graph.ints(...Array.from({ length: 10 }, (_, i) => Number(i === CHUNKS)));
    const ahead = (x: Name): Name => graph.node("Pad", [x, first]);
    const steps = step && ("log" in step ? { log: ahead(step.log) } : { matrix: ahead(step.matrix) });
    const all = at.concat([at.unsqueeze(past, CHUNKS), added], CHUNKS);
    const length = at.add(this.#count, graph.ints(1));
    const sums = summedUp(cx, all, steps, { ...along, length, most: most + 1 });
    return {
      before: at.slice(sums, graph.ints(0), this.#count, CHUNKS),
      last: at.squeeze(at.slice(sums, graph.ints(-1), null, CHUNKS), CHUNKS),
    };
  }

  /** [B, H, N, C, V] as [B, H, T, V]. */
  together(x: Name, width: number): Name {
    const { at, graph, axes } = this.cx;
    const tokens = at.mul(this.#count, graph.ints(this.C));
    const rows = at.reshapeTo(x, at.concat([at.dim(x, 0), graph.ints(this.heads), tokens, graph.ints(width)], 0));
    return at.slice(rows, graph.ints(0), axes.rows(this.axis).length, 2);
  }

  /** Zeros for tokens that do not exist, at dimension 2. */
  #existing(x: Name, rank: number): Name {
    const { cx, axis } = this;
    const exists = cx.axes.exists(axis);
    return exists === null ? x : kept(cx, cx.at.unsqueezedTo(exists, 2, rank), x, "f32");
  }

  /** x[…, C] · matrix[C, C], with the rows of x in one dimension: ONNX Runtime spreads no matrix over an empty batch. */
  #timesSquare(x: Name, matrix: Name): Name {
    const { at, graph } = this.cx;
    const rows = graph.node("Shape", [x], { start: 0, end: -1 });
    const columns = graph.ints(this.C);
    const all = graph.node("ReduceProd", [rows, graph.ints(0)], { keepdims: 1 });
    const flat = at.reshapeTo(x, at.concat([all, columns], 0));
    return at.reshapeTo(at.matmul(flat, matrix), at.concat([rows, columns], 0));
  }

  #chunked(x: Name, heads: number, width: number): Name {
    const { at, graph, axes } = this.cx;
    const missing = at.sub(at.mul(this.#count, graph.ints(this.C)), axes.rows(this.axis).length);
    const pads = at.concat([graph.ints(0, 0, 0, 0, 0, 0), missing, graph.ints(0)], 0);
    const full = graph.node("Pad", [x, pads]);
    const dims = [at.dim(x, 0), graph.ints(heads), this.#count, graph.ints(this.C, width)];
    return at.reshapeTo(full, at.concat(dims, 0));
  }
}
