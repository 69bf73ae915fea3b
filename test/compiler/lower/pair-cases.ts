// Programs with attention that reads pairs of tokens, each with the same scores written out.

export interface PairCase {
  readonly name: string;
  /** Lines before the attention, over q, k [B, heads, T, d] and doc u32[B, T]. */
  readonly before?: string;
  /** Further inputs by name, with their types. */
  readonly inputs?: Readonly<Record<string, string>>;
  /** Further arguments of attention and mass. */
  readonly args: string;
  /** The same written out: the scores from `s`, and who sees whom from `seen`, both [B, heads, T, T] or broadcast. */
  readonly scores?: string;
  readonly seen?: string;
  /** Weights of keys, [B, T]. */
  readonly weight?: string;
  /** Heads of keys. */
  readonly groups?: number;
}

const AT = `i = position(x)[:, None, :, None]
    j = position(x)[:, None, None, :]
    gap = f32(position(x))[:, :, None] - f32(position(x))[:, None, :]`;

export const PAIR_CASES: readonly PairCase[] = [
  { name: "nothing", args: "cap: 1e6" },
  { name: "a cap", args: "causal: true, cap: 1.5", scores: "1.5 * tanh(s / 1.5)", seen: "j <= i" },
  {
    name: "documents",
    args: "mask: doc[:, :, None] == doc[:, None, :]",
    seen: "doc[:, None, :, None] == doc[:, None, None, :]",
  },
  {
    name: "documents with heads, causal, in a window",
    args: "causal: true, window: 3, mask: (doc[:, :, None] == doc[:, None, :])[:, None]",
    seen: "(doc[:, None, :, None] == doc[:, None, None, :]) and j <= i and i32(i) - i32(j) < 3",
  },
  {
    name: "a prefix and chunks",
    args: "mask: j < 3 or u32(f32(i) * 0.25) == u32(f32(j) * 0.25)",
    seen: "j < 3 or u32(f32(i) * 0.25) == u32(f32(j) * 0.25)",
  },
  {
    name: "queries that see no key",
    args: "mask: doc[:, :, None] != doc[:, None, :]",
    seen: "doc[:, None, :, None] != doc[:, None, None, :]",
  },
  {
    name: "ALiBi with slopes that learn",
    args: "causal: true, bias: slopes[:, None, None] * gap[:, None]",
    scores: "s + slopes[:, None, None] * gap[:, None]",
    seen: "j <= i",
  },
  {
    name: "a table of distances, as T5, of grouped heads",
    before: "bucket = u32(min(max(gap + 4.0, 0.0), 8.0))",
    args: 'bias: rearrange(table[bucket], "b t s h -> b h t s")',
    scores: 's + rearrange(table[bucket], "b t s h -> b h t s")',
    groups: 1,
  },
  {
    name: "a table at whole numbers below 0",
    before: "back = i32(gap) - 2",
    args: "causal: true, bias: single[back]",
    scores: "s + single[back][:, None]",
    seen: "j <= i",
  },
  {
    name: "forget gates of heads, of grouped heads",
    before: 'c = rearrange(x @ u, "b t h -> b h t")',
    args: "causal: true, cap: 4.0, bias: c[..., :, None] - c[..., None, :]",
    scores: "4.0 * tanh(s / 4.0) + c[..., :, None] - c[..., None, :]",
    seen: "j <= i",
    groups: 1,
  },
  {
    name: "a bias of products, in memory",
    before: "near = x @ transpose(x) * 0.3",
    args: "causal: true, bias: near",
    scores: "s + near[:, None]",
    seen: "j <= i",
  },
  {
    name: "a bias of products of each head with gradients through pairs of pairs",
    before: "near = sin(q @ transpose(q)) * exp(x[:, None, :, 0][..., None])",
    args: "bias: near",
    scores: "s + near",
  },
  {
    name: "a mask and a bias of each head as inputs",
    inputs: { sight: "bool[B, T, T]", lift: "f32[B, 2, T, T]" },
    args: "mask: sight, bias: lift * slopes[:, None, None]",
    scores: "s + lift * slopes[:, None, None]",
    seen: "sight[:, None]",
  },
  {
    name: "weights of keys, a mask and a bias",
    before: "w = relu(sin(7.0 * x[..., 0]))",
    args: "causal: true, weight: w, mask: doc[:, :, None] == doc[:, None, :], bias: gap * x[:, None, :, 1]",
    scores: "s + (gap * x[:, None, :, 1])[:, None]",
    seen: "(doc[:, None, :, None] == doc[:, None, None, :]) and j <= i",
    weight: "w",
  },
  {
    name: "a bias of one number a sequence, through stop_gradient and where",
    before: "mean1 = mean(x[..., 2], axis: -1)",
    args: "bias: where(gap > 0.0, mean1[:, None, None] * gap, stop_gradient(x[:, None, :, 0]))",
    scores: "s + where(gap > 0.0, mean1[:, None, None] * gap, stop_gradient(x[:, None, :, 0]))[:, None]",
  },
];

/** The program of a case: with `attention` and `mass`, or with its products written out. */
export function programOf(
  { before = "", inputs = {}, args, scores = "s", seen, weight, groups = 2 }: PairCase,
  written: boolean,
): string {
  const repeated = (x: string): string => (groups === 2 ? x : `concat([${x}, ${x}], axis: 1)`);
  const visible = [seen ?? "i == i or j == j", ...(weight === undefined ? [] : [`${weight}[:, None, None] > 0.0`])];
  const products = `s = q @ transpose(${repeated("k")}) * 0.5
    scores = ${scores}
    seen = s == s and ${visible.map((text) => `(${text})`).join(" and ")}
    e = where(seen, exp(where(seen, scores, 0.0)), 0.0)${weight === undefined ? "" : ` * ${weight}[:, None, None]`}
    total = sum(e, axis: -1, keep: true)
    y = (e / max(total, 1e-30)) @ ${repeated("v")}
    m = where(total[..., 0] > 0.0, log(max(total[..., 0], 1e-30)), -1e30)
    r = sum(e / max(total, 1e-30), axis: 2)`;
  const fused = `y = attention(q, k, v, ${args})
    m = mass(q, k, ${args})
    r = ${weight === undefined ? `received(q, k, ${args})` : "m"}`;
  const names = Object.keys(inputs).map((name) => `, ${name}`);
  const declared = Object.entries(inputs).map(([name, type]) => `, ${name}: ${type}`);
  return `
model Pairs(dim: int = 8) {
  weight wq: f32[dim, 8]
  weight wk: f32[dim, ${4 * groups}]
  weight wv: f32[dim, ${3 * groups}]
  weight slopes: f32[2]
  weight table: f32[9, 2]
  weight single: f32[20]
  weight u: f32[dim, 2]
  forward(x: f32[B, T <= 24, dim], doc: u32[B, T]${declared.join("")}) -> (y: f32[B, T, 2, 3], m: f32[B, T, 2], r: f32[B, T, 2]) {
    q = rearrange(x @ wq, "b t (h d) -> b h t d", h: 2)
    k = rearrange(x @ wk, "b t (h d) -> b h t d", h: ${groups})
    v = rearrange(x @ wv, "b t (h d) -> b h t d", h: ${groups})
    ${AT}
    ${before}
    ${written ? products : fused}
    [rearrange(y, "b h t d -> b t h d"), rearrange(m, "b h t -> b t h"), rearrange(r, "b h t -> b t h")]
  }
  objective(x: f32[B, T <= 24, dim], doc: u32[B, T], goal: f32[B, T]${declared.join("")}) {
    (y, m, r) = forward(x, doc${names.join("")})
    loss values = mean(y * y + goal[..., None, None] * sin(y))
    loss masses = mean(where(m > -1e29, m * m, 0.0))
    loss shares = mean(${weight === undefined ? "stop_gradient(r)" : "0.0 * stop_gradient(r)"} * goal[..., None] * x[..., :2])
  }
}`;
}
