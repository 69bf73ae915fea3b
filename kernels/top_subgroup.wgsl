// The k best rows of each sequence, ascending: index[kept[b] + j]. Also `positions`, their indices in the sequence.
// Method: as top.wgsl, but a workgroup is one subgroup, so there is neither workgroup memory nor a barrier. The search
// for the key of rank k takes two bits at a time, from the highest: the largest digit that at least k rows reach. It
// ends early if exactly k rows do. Rows with larger keys are chosen, and the earliest of the rows with that key. Each
// lane counts and writes the chosen rows of one stretch, so the result is in order without a sort.
// Grid: one workgroup for each sequence. `kept`, the starts of the axis of chosen rows, is known before: from the
// host's table, or from top_starts.wgsl.
enable subgroups;
diagnostic(off, subgroup_uniformity);

// --- parameters
struct Sizes { batch: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> score: array<f32>;
@group(0) @binding(2) var<storage, read> parent: array<u32>;
@group(0) @binding(3) var<storage, read> kept: array<u32>;
@group(0) @binding(4) var<storage, read_write> index: array<u32>;
@group(0) @binding(5) var<storage, read_write> positions: array<u32>;
@group(0) @binding(6) var<storage, read_write> starts: array<u32>;
/** Lanes of a subgroup. */
const WIDTH = 8u;
/** Sequences. */
fn batch() -> u32 { return sizes.batch; }
/** The score of row i. A prologue may compute it. */
fn value(i: u32) -> f32 { return score[i]; }
/** Stores the starts of the axis of chosen rows as a result, if they come from the host. */
fn publish(b: u32) {
  if (b == 0u) { starts[0] = 0u; }
  starts[b + 1u] = kept[b + 1u];
}
// --- end of parameters

/** An integer key in the order of the scores: NaN lowest, −0 as 0. */
fn keyOf(row: u32) -> u32 {
  let bits = bitcast<u32>(value(row));
  let magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) { return 0u; }
  if (magnitude == 0u) { return 0x80000000u; }
  return bits ^ select(0x80000000u, 0xffffffffu, bits >= 0x80000000u);
}

/** For each of three keys, the number of rows with this key or a larger one. */
fn reaching(first: u32, end: u32, lane: u32, keys: vec3u) -> vec3u {
  var found = vec3u();
  for (var row = first + lane; row < end; row += WIDTH) { found += vec3u(vec3u(keyOf(row)) >= keys); }
  return subgroupAdd(found);
}

@compute @workgroup_size(WIDTH)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let b = group.x + group.y * groups.x;
  if (b >= batch()) { return; }
  let first = parent[b];
  let end = parent[b + 1u];
  let offset = kept[b];
  let k = kept[b + 1u] - offset;
  if (lane == 0u) { publish(b); }
  if (k == 0u) { return; }

  var threshold = 0u;
  var reached = end - first;
  for (var shift = 32u; shift > 0u && reached > k; ) {
    shift -= 2u;
    let counts = reaching(first, end, lane, vec3u(threshold) | (vec3u(1u, 2u, 3u) << vec3u(shift)));
    let digit = u32(counts.x >= k) + u32(counts.y >= k) + u32(counts.z >= k);
    threshold |= digit << shift;
    reached = select(select(select(reached, counts.x, digit == 1u), counts.y, digit == 2u), counts.z, digit == 3u);
  }

  // If exactly k rows reach the threshold, all of them are chosen.
  let stretch = (end - first + WIDTH - 1u) / WIDTH;
  let begin = min(first + lane * stretch, end);
  let to = min(begin + stretch, end);
  var above = 0u;
  var equal = 0u;
  for (var row = begin; row < to; row++) {
    let key = keyOf(row);
    above += u32(key > threshold);
    equal += u32(key == threshold);
  }
  let quota = k - subgroupAdd(above);
  let left = subgroupExclusiveAdd(equal);
  var at = offset + subgroupExclusiveAdd(above) + min(left, quota);
  var spare = quota - min(left, quota);
  for (var row = begin; row < to; row++) {
    let key = keyOf(row);
    let takes = key > threshold || (key == threshold && spare > 0u);
    if (takes) {
      index[at] = row;
      positions[at] = row - first;
      at += 1u;
      spare -= u32(key == threshold);
    }
  }
}
