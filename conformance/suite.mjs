// The cases of the suite in JavaScript: what an implementation is given, and the block that the chosen tokens go through.
import { readFileSync } from "node:fs";
import { join } from "node:path";

const vectors = join(import.meta.dirname, "vectors");
const json = (name) => JSON.parse(readFileSync(join(import.meta.dirname, name), "utf8"));
export const LAWS = json("laws.json");
export const FAULTS = json("faults.json");

const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);
const silu = (x) => x / (1 + Math.exp(-x));
/** matrix[rows][columns] · x, plus a bias. */
const linear = (matrix, x, bias) => matrix.map((row, i) => dot(row, x) + (bias?.[i] ?? 0));
const normed = (x, weight, eps) => {
  const scale = 1 / Math.sqrt(dot(x, x) / x.length + eps);
  return x.map((value, i) => value * scale * weight[i]);
};

/**
 * What an implementation is given. Tensors are nested arrays of numbers.
 *
 * - `x[b][t][d]`: the stream.
 * - `router[d]`: a token's score is router · x.
 * - `inner`: the block for the chosen tokens, which gives their update (`Inner`).
 * - `predictor(x[d])`: the logit by which a token is chosen while generating.
 * - `capacity`: the share that is chosen, as [numerator, denominator].
 * - `gate`: "raw": the score; "sigmoid" of it; "identity": 1 + 0.2 tanh of it.
 * - `lengths`: tokens of each sequence, or null where all have T.
 */
export class Case {
  constructor(said) {
    const tensors = read(join(vectors, `${said.name}.safetensors`));
    const weight = (name) => tensors.get(name);
    this.name = said.name;
    this.laws = said.laws;
    this.functions = said.kind === "train" ? ["train"] : ["generate", "decode"];
    this.capacity = said.capacity;
    this.gate = said.gate;
    this.lengths = said.lengths;
    const shift = weight("shift");
    this.x = weight("x").map((tokens) => tokens.map((x) => x.map((value, d) => value + shift[d])));
    this.router = weight("router").flat();
    this.predictor = (x) => {
      const hidden = linear(weight("predictor.up.weight"), x, weight("predictor.up.bias")).map(silu);
      return linear(weight("predictor.down.weight"), hidden, weight("predictor.down.bias"))[0];
    };
    this.inner = new Inner(weight, said);
    this.expected = {
      y: weight("y"),
      chosen: weight("chosen").map((row) => row.filter((i) => i >= 0)),
      ...(tensors.has("predictor_loss") && { predictorLoss: weight("predictor_loss") }),
    };
    if (said.kind === "generate") this.expected.cached = this.expected.chosen.map((row) => row.length);
  }

  /** Tokens of a sequence. */
  length(b) {
    return this.lengths?.[b] ?? this.x[b].length;
  }
}

/** A pre-norm transformer layer without a residual of its own: a + mlp(norm(x + a)) with a = attention(norm(x)). */
export class Inner {
  constructor(weight, { heads, theta, eps }) {
    this.weight = (name) => weight(`inner.${name}`);
    Object.assign(this, { heads, theta, eps });
  }

  /** The update of rows x[k][d] of one sequence: each attends to itself and the rows before it. */
  run(x, positions) {
    const cache = this.cache();
    return x.map((row, i) => this.step(row, positions[i], cache));
  }

  /** An empty cache of one sequence: a pair of key and value for each row that `step` has added. */
  cache() {
    return [];
  }

  /** The update of one row x[d], which is added to the cache and attends to what lies there. */
  step(x, position, cache) {
    const within = normed(x, this.weight("attn_norm.weight"), this.eps);
    const [q, k, v] = ["q", "k", "v"].map((name) => linear(this.weight(`attn.${name}.weight`), within));
    cache.push({ key: this.#turned(k, position), value: v });
    const heads = this.#attended(this.#turned(q, position), cache);
    const a = linear(this.weight("attn.o.weight"), heads);
    const second = normed(
      x.map((value, d) => value + a[d]),
      this.weight("mlp_norm.weight"),
      this.eps,
    );
    const up = linear(this.weight("mlp.up.weight"), second);
    const hidden = linear(this.weight("mlp.gate.weight"), second).map((value, i) => silu(value) * up[i]);
    return linear(this.weight("mlp.down.weight"), hidden).map((value, d) => value + a[d]);
  }

  /** Rotary positions: the halves of each head are turned against each other. */
  #turned(x, position) {
    const [width, half] = [x.length / this.heads, x.length / this.heads / 2];
    return x.map((value, i) => {
      const place = i % width;
      const angle = position * this.theta ** (-(place % half) / half);
      const other = x[place < half ? i + half : i - half];
      return value * Math.cos(angle) + (place < half ? -other : other) * Math.sin(angle);
    });
  }

  #attended(query, cache) {
    const width = query.length / this.heads;
    return Array.from({ length: this.heads }, (_, h) => {
      const own = (x) => x.slice(h * width, (h + 1) * width);
      const scores = cache.map(({ key }) => dot(own(query), own(key)) / Math.sqrt(width));
      const largest = Math.max(...scores);
      const weights = scores.map((score) => Math.exp(score - largest));
      const whole = weights.reduce((a, b) => a + b, 0);
      return Array.from({ length: width }, (_, d) =>
        cache.reduce((sum, { value }, i) => sum + (weights[i] / whole) * own(value)[d], 0),
      );
    }).flat();
  }
}

export const cases = () => JSON.parse(readFileSync(join(vectors, "cases.json"), "utf8")).map((said) => new Case(said));

const VIEWS = { F32: Float32Array, F64: Float64Array, I64: BigInt64Array };

/** The tensors of a safetensors file, as nested arrays of numbers. */
function read(path) {
  const bytes = readFileSync(path);
  const begin = 8 + Number(bytes.readBigUInt64LE(0));
  const entries = Object.entries(JSON.parse(bytes.toString("utf8", 8, begin))).filter(
    ([name]) => name !== "__metadata__",
  );
  return new Map(
    entries.map(
      ([
        name,
        {
          dtype,
          shape,
          data_offsets: [first, last],
        },
      ]) => {
        const own = Uint8Array.from(bytes.subarray(begin + first, begin + last)).buffer;
        return [name, nested(Array.from(new VIEWS[dtype](own), Number), shape)];
      },
    ),
  );
}

function nested(flat, shape) {
  if (shape.length === 0) return flat[0];
  const [length, ...rest] = shape;
  if (rest.length === 0) return flat;
  const each = rest.reduce((a, b) => a * b, 1);
  return Array.from({ length }, (_, i) => nested(flat.slice(i * each, (i + 1) * each), rest));
}
