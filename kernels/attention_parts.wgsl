// y[h, i] = Σ over p of exp(most[p]) · x[p] / Σ over p of exp(most[p]) · total[p]: attention of query i, whose keys
// were divided into parts p. Each left its weighted values x, relative to its largest score, `most`, and the sum of its
// weights (Dao, Haziza, Massa and Sizov 2023, Flash-Decoding).
// Method: an invocation adds four columns of all parts, four parts at once, relative to the largest score so far. A
// part without keys has the lowest score and weighs nothing. Of a single part nothing is rounded.
// Grid: one invocation for each four columns of each head of each query; heads of a query are neighbours.

// --- parameters
struct Sizes { batch: u32, heads: u32, parts: u32, resultHeads: u32, resultRows: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> parts: array<vec4f>;
@group(0) @binding(2) var<storage, read> startsQ: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;
/** Fours of columns of v. */
const QUARTERS_V = 16u;
fn batch() -> u32 { return sizes.batch; }
fn heads() -> u32 { return sizes.heads; }
fn partCount() -> u32 { return sizes.parts; }
/** First rows of a sequence's queries (entry `batch()` is the number of rows). */
fn startQ(b: u32) -> u32 { return startsQ[b]; }
fn write(head: u32, row: u32, c: u32, x: vec4f) { y[head * sizes.resultHeads + row * sizes.resultRows + c] = x; }
// --- end of parameters

/** Parts whose loads are in flight together. */
const TOGETHER = 4u;
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
      // Nothing of a part without keys, whose values nobody wrote, nor of one beyond the last.
      let none = (at + i >= count) | ((sums[i].x == LOWEST) & (sums[i].y == 0.0));
      let weight = select(own, 0.0, none);
      sum = fma(weight, sums[i].y, sum);
      added = fma(vec4f(weight), select(values[i], vec4f(), weight == 0.0), added);
    }
  }
  write(head, row, c, added * (1.0 / sum));
}
