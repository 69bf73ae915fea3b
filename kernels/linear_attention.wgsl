// y[h, n, j] = scale · Σ over i of q[n, i] · S_n[i, j]. Each head and sequence has a state S.
// S_n[i, j] = factor_n[i] · S_(n−1)[i, j] − forget[n, i] · r[n, j] + k[n, i] · v[n, j].
// r[n, j] = Σ over i of at[n, i] · S_(n−1)[i, j]. S begins as zeros or as a given state.
// Method: a column of the state depends on no other. A lane holds one, and goes through the rows one after the other.
// Grid: one invocation for each column of each head and sequence.

// --- parameters
struct Sizes {
  heads: u32, batch: u32, columns: u32, scale: f32, groupQ: u32, groupK: u32, queryHeads: u32, queryRows: u32,
    keyHeads: u32, keyRows: u32, valueHeads: u32, valueRows: u32,
}
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> q: array<vec4f>;
@group(0) @binding(2) var<storage, read> k: array<vec4f>;
@group(0) @binding(3) var<storage, read> v: array<f32>;
@group(0) @binding(4) var<storage, read> starts: array<u32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;
const LANES = 32u;
/** The `vec4f` in a column of the state. */
const QUARTERS = 16u;
/** 1 if there are forget and at. */
const FORGETS = 0u;
fn heads() -> u32 { return sizes.heads; }
fn batch() -> u32 { return sizes.batch; }
/** Columns of v. */
fn columns() -> u32 { return sizes.columns; }
fn scale() -> f32 { return sizes.scale; }
/** The place of a row of each operand for head h of the result, and columns 4c to 4c + 3 from that place on. */
fn queryPlace(h: u32, row: u32) -> u32 { return h / sizes.groupQ * sizes.queryHeads + row * sizes.queryRows; }
fn queryFour(place: u32, c: u32) -> vec4f { return q[place + c]; }
fn keyPlace(h: u32, row: u32) -> u32 { return h / sizes.groupK * sizes.keyHeads + row * sizes.keyRows; }
fn keyFour(place: u32, c: u32) -> vec4f { return k[place + c]; }
fn forgetPlace(h: u32, row: u32) -> u32 { return 0u; }
fn forgetFour(place: u32, c: u32) -> vec4f { return vec4f(); }
fn atPlace(h: u32, row: u32) -> u32 { return 0u; }
fn atFour(place: u32, c: u32) -> vec4f { return vec4f(); }
fn factorPlace(h: u32, row: u32) -> u32 { return 0u; }
/** What rows 4c to 4c + 3 of the state are multiplied by. */
fn factorFour(place: u32, c: u32) -> vec4f { return vec4f(1.0); }
/** Column j of a row of v. */
fn valueOne(h: u32, row: u32, j: u32) -> f32 { return v[h * sizes.valueHeads + row * sizes.valueRows + j]; }
/** Rows 4c to 4c + 3 of column j of the state before the first row. */
fn stateBefore(b: u32, h: u32, j: u32, c: u32) -> vec4f { return vec4f(); }
/** Stores them after the last row. */
fn keepState(b: u32, h: u32, j: u32, c: u32, s: vec4f) {}
/** Stores column j of a row of y, or of r. */
fn write(h: u32, row: u32, j: u32, sum: f32, recalled: f32) { y[(h * starts[batch()] + row) * columns() + j] = sum; }
// --- end of parameters

fn total(x: vec4f) -> f32 { return (x.x + x.y) + (x.z + x.w); }

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let n = (group.x + group.y * groups.x) * LANES + lane;
  let j = n % columns();
  let h = n / columns() % heads();
  let b = n / columns() / heads();
  if (b >= batch()) { return; }
  var state: array<vec4f, QUARTERS>;
  for (var c = 0u; c < QUARTERS; c++) { state[c] = stateBefore(b, h, j, c); }
  for (var row = starts[b]; row < starts[b + 1u]; row++) {
    let queryAt = queryPlace(h, row);
    let keyAt = keyPlace(h, row);
    let forgetAt = forgetPlace(h, row);
    let factorAt = factorPlace(h, row);
    let value = valueOne(h, row, j);
    var recalled = 0.0;
    if (FORGETS == 1u) {
      let placeAt = atPlace(h, row);
      var sum = vec4f();
      // What is recalled at 0 is nothing, even if the state is infinite or no number.
      for (var c = 0u; c < QUARTERS; c++) {
        let place = atFour(placeAt, c);
        sum = fma(place, select(state[c], vec4f(), place == vec4f()), sum);
      }
      recalled = total(sum);
    }
    var sum = vec4f();
    for (var c = 0u; c < QUARTERS; c++) {
      let factor = factorFour(factorAt, c);
      var s = select(factor * state[c], vec4f(), factor == vec4f());
      if (FORGETS == 1u) { s -= forgetFour(forgetAt, c) * recalled; }
      s = fma(keyFour(keyAt, c), vec4f(value), s);
      sum = fma(queryFour(queryAt, c), s, sum);
      state[c] = s;
    }
    write(h, row, j, scale() * total(sum), recalled);
  }
  for (var c = 0u; c < QUARTERS; c++) { keepState(b, h, j, c, state[c]); }
}
