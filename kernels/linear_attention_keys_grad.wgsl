// dk[h, n, i] = Σ over j of v[n, j] · dS_n[i, j] and dforget[h, n, i] = −Σ over j of r[n, j] · dS_n[i, j], with the
// cotangents dS of linear_attention_columns_grad.wgsl.
// Method: with dr known, a row of dS depends on no other. A lane holds one, and goes through the rows of the sequence
// from the last to the first.
// Grid: one invocation for each row of the state of each head and sequence.

// --- parameters
struct Sizes {
  heads: u32, batch: u32, width: u32, scale: f32, groupQ: u32, queryHeads: u32, queryRows: u32, valueHeads: u32,
    valueRows: u32, changeHeads: u32, changeRows: u32,
}
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> v: array<vec4f>;
@group(0) @binding(3) var<storage, read> dy: array<vec4f>;
@group(0) @binding(4) var<storage, read> starts: array<u32>;
@group(0) @binding(5) var<storage, read_write> made: array<f32>;
const LANES = 32u;
/** The `vec4f` in a row of the state. */
const QUARTERS = 16u;
/** 1 if there are forget and at. */
const FORGETS = 0u;
fn heads() -> u32 { return sizes.heads; }
fn batch() -> u32 { return sizes.batch; }
/** Columns of k. */
fn width() -> u32 { return sizes.width; }
fn scale() -> f32 { return sizes.scale; }
/** Column i of a row of each operand for head h of the result. */
fn queryOne(h: u32, row: u32, i: u32) -> f32 {
  return q[h / sizes.groupQ * sizes.queryHeads + row * sizes.queryRows + i];
}
fn atOne(h: u32, row: u32, i: u32) -> f32 { return 0.0; }
/** What row i of the state is multiplied by. */
fn factorOne(h: u32, row: u32, i: u32) -> f32 { return 1.0; }
/** The place of a row of each operand, and columns 4c to 4c + 3 from that place on. */
fn valuePlace(h: u32, row: u32) -> u32 { return h * sizes.valueHeads + row * sizes.valueRows; }
fn valueFour(place: u32, c: u32) -> vec4f { return v[place + c]; }
fn changePlace(h: u32, row: u32) -> u32 { return h * sizes.changeHeads + row * sizes.changeRows; }
fn changeFour(place: u32, c: u32) -> vec4f { return dy[place + c]; }
/** Columns 4c to 4c + 3 of a row of r and of dr. */
fn recalledFour(h: u32, row: u32, c: u32) -> vec4f { return vec4f(); }
fn recalledChange(h: u32, row: u32, c: u32) -> vec4f { return vec4f(); }
/** Stores column i of a row of dk and of dforget. */
fn write(h: u32, row: u32, i: u32, dk: f32, dforget: f32) { made[(h * starts[batch()] + row) * width() + i] = dk; }
// --- end of parameters

fn total(x: vec4f) -> f32 { return (x.x + x.y) + (x.z + x.w); }

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let n = (group.x + group.y * groups.x) * LANES + lane;
  let i = n % width();
  let h = n / width() % heads();
  let b = n / width() / heads();
  if (b >= batch()) { return; }
  var change: array<vec4f, QUARTERS>;
  for (var c = 0u; c < QUARTERS; c++) { change[c] = vec4f(); }
  for (var behind = starts[b + 1u]; behind > starts[b]; behind--) {
    let row = behind - 1u;
    let valueAt = valuePlace(h, row);
    let changeAt = changePlace(h, row);
    let query = vec4f(scale() * queryOne(h, row, i));
    let place = vec4f(atOne(h, row, i));
    let factor = factorOne(h, row, i);
    var dk = vec4f();
    var dforget = vec4f();
    for (var c = 0u; c < QUARTERS; c++) {
      let d = fma(query, changeFour(changeAt, c), change[c]);
      dk = fma(valueFour(valueAt, c), d, dk);
      var before = select(factor * d, vec4f(), factor == 0.0);
      if (FORGETS == 1u) {
        dforget -= recalledFour(h, row, c) * d;
        before = fma(place, select(recalledChange(h, row, c), vec4f(), place == vec4f()), before);
      }
      change[c] = before;
    }
    write(h, row, i, total(dk), total(dforget));
  }
}
