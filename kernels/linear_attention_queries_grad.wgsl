// dq[h, n, i] = scale · Σ over j of dy[n, j] · S_n[i, j] and dat[h, n, i] = Σ over j of dr[n, j] · S_(n−1)[i, j], with
// the states S of linear_attention.wgsl.
// Method: with r known, a row of the state depends on no other. A lane holds one, and goes through the rows of the
// sequence one after the other.
// Grid: one invocation for each row of the state of each head and sequence.

// --- parameters
struct Sizes {
  heads: u32, batch: u32, width: u32, scale: f32, groupK: u32, keyHeads: u32, keyRows: u32, valueHeads: u32,
    valueRows: u32, changeHeads: u32, changeRows: u32,
}
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> k: array<f32>;
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
fn keyOne(h: u32, row: u32, i: u32) -> f32 { return k[h / sizes.groupK * sizes.keyHeads + row * sizes.keyRows + i]; }
fn forgetOne(h: u32, row: u32, i: u32) -> f32 { return 0.0; }
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
/** Stores column i of a row of dq and of dat. */
fn write(h: u32, row: u32, i: u32, dq: f32, dat: f32) { made[(h * starts[batch()] + row) * width() + i] = dq; }
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
  var state: array<vec4f, QUARTERS>;
  for (var c = 0u; c < QUARTERS; c++) { state[c] = vec4f(); }
  for (var row = starts[b]; row < starts[b + 1u]; row++) {
    let valueAt = valuePlace(h, row);
    let changeAt = changePlace(h, row);
    let key = vec4f(keyOne(h, row, i));
    let forget = forgetOne(h, row, i);
    let factor = factorOne(h, row, i);
    var dq = vec4f();
    var dat = vec4f();
    for (var c = 0u; c < QUARTERS; c++) {
      var s = select(factor * state[c], vec4f(), factor == 0.0);
      if (FORGETS == 1u) {
        dat = fma(recalledChange(h, row, c), state[c], dat);
        s -= forget * recalledFour(h, row, c);
      }
      s = fma(key, valueFour(valueAt, c), s);
      dq = fma(changeFour(changeAt, c), s, dq);
      state[c] = s;
    }
    write(h, row, i, scale() * total(dq), total(dat));
  }
}
