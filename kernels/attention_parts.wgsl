// y[h, i] = Σ over p of exp(most[p]) · x[p] / Σ over p of exp(most[p]) · total[p]: attention of query i from the parts
// p into which its keys were divided (Dao, Haziza, Massa and Sizov 2023, Flash-Decoding). For each part, `most` is the
// largest score, `total` the sum of weights relative to it, and x the sum of weighted values.
// Method: online softmax over the parts. An invocation adds up four columns of all parts, four parts at once, relative
// to the largest score so far. With a single part the result has the part's bits.
// Grid: one invocation for each four columns of each head of each query; heads of a query are neighbours.

// --- parameters
struct Sizes { batch: u32, heads: u32, parts: u32, resultHeads: u32, resultRows: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> parts: array<vec4f>;
@group(0) @binding(2) var<storage, read> startsQ: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;
/** `vec4f` columns of v. */
const QUARTERS_V = 16u;
/** Sequences. */
fn batch() -> u32 { return sizes.batch; }
/** Query heads. */
fn heads() -> u32 { return sizes.heads; }
/**
 * Parts of each query. A part of a head of a query is QUARTERS_V vectors of x, then a vector with `most` and `total`.
 */
fn partCount() -> u32 { return sizes.parts; }
/** The first row of sequence b in q. `startQ(batch())` is the number of rows. */
fn startQ(b: u32) -> u32 { return startsQ[b]; }
/** Stores columns 4c to 4c + 3 of a row of y. */
fn write(head: u32, row: u32, c: u32, x: vec4f) { y[head * sizes.resultHeads + row * sizes.resultRows + c] = x; }
// --- end of parameters

/** Parts whose loads are in flight together. */
const TOGETHER = 4u;
/** The largest score of a part without keys. */
const LOWEST = -3.4028234e38;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let n = (group.x + group.y * groups.x) * 64u + lane;
  let c = n % QUARTERS_V;
  let head = n / QUARTERS_V % heads();
  let row = n / QUARTERS_V / heads();
  if (row >= startQ(batch())) { return; }
  let count = partCount();
  var best = LOWEST;
  var sum = 0.0;
  var added = vec4f();
  for (var at = 0u; at < count; at += TOGETHER) {
    var sums: array<vec4f, TOGETHER>;
    var values: array<vec4f, TOGETHER>;
    for (var i = 0u; i < TOGETHER; i++) {
      let begin = ((row * count + min(at + i, count - 1u)) * heads() + head) * (QUARTERS_V + 1u);
      sums[i] = parts[begin + QUARTERS_V];
      values[i] = parts[begin + c];
    }
    var most = best;
    for (var i = 0u; i < TOGETHER; i++) { most = max(most, sums[i].x); }
    let shrink = select(exp(best - most), 1.0, best == most);
    best = most;
    sum *= shrink;
    added *= shrink;
    for (var i = 0u; i < TOGETHER; i++) {
      let own = select(exp(sums[i].x - most), 1.0, sums[i].x == most);
      // Parts without keys, whose values are unwritten, and indices past the last part get weight 0.
      let none = (at + i >= count) | ((sums[i].x == LOWEST) & (sums[i].y == 0.0));
      let weight = select(own, 0.0, none);
      sum = fma(weight, sums[i].y, sum);
      added = fma(vec4f(weight), select(values[i], vec4f(), weight == 0.0), added);
    }
  }
  write(head, row, c, added * (1.0 / sum));
}
