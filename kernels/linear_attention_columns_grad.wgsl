// dv[h, n, j] = Σ over i of k[n, i] · dS_n[i, j]. dr[h, n, j] = −Σ over i of forget[n, i] · dS_n[i, j].
// dS is the cotangent of the state after row n, from the last row on. It begins as scale · q[n, i] · dy[n, j].
// dS_(n−1)[i, j] = factor_n[i] · dS_n[i, j] + at[n, i] · dr[n, j] + scale · q[n − 1, i] · dy[n − 1, j].
// Method: as linear_attention.wgsl, in the other direction.
// Grid: one invocation for each column of each head and sequence.

// --- parameters
struct Sizes {
  heads: u32, batch: u32, columns: u32, scale: f32, groupQ: u32, groupK: u32, queryHeads: u32, queryRows: u32,
    keyHeads: u32, keyRows: u32, changeHeads: u32, changeRows: u32,
}
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> q: array<vec4f>;
@group(0) @binding(2) var<storage, read> k: array<vec4f>;
@group(0) @binding(3) var<storage, read> dy: array<f32>;
@group(0) @binding(4) var<storage, read> starts: array<u32>;
@group(0) @binding(5) var<storage, read_write> made: array<f32>;
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
/** Column j of a row of dy. */
fn changeOne(h: u32, row: u32, j: u32) -> f32 { return dy[h * sizes.changeHeads + row * sizes.changeRows + j]; }
/** Stores column j of a row of dv and of dr. */
fn write(h: u32, row: u32, j: u32, dv: f32, dr: f32) { made[(h * starts[batch()] + row) * columns() + j] = dv; }
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
  var change: array<vec4f, QUARTERS>;
  for (var c = 0u; c < QUARTERS; c++) { change[c] = vec4f(); }
  for (var behind = starts[b + 1u]; behind > starts[b]; behind--) {
    let row = behind - 1u;
    let queryAt = queryPlace(h, row);
    let keyAt = keyPlace(h, row);
    let forgetAt = forgetPlace(h, row);
    let factorAt = factorPlace(h, row);
    let placeAt = atPlace(h, row);
    let dy = vec4f(scale() * changeOne(h, row, j));
    var dv = vec4f();
    var dr = vec4f();
    for (var c = 0u; c < QUARTERS; c++) {
      let d = fma(queryFour(queryAt, c), dy, change[c]);
      dv = fma(keyFour(keyAt, c), d, dv);
      if (FORGETS == 1u) { dr -= forgetFour(forgetAt, c) * d; }
      change[c] = d;
    }
    let recalled = total(dr);
    for (var c = 0u; c < QUARTERS; c++) {
      let factor = factorFour(factorAt, c);
      var d = select(factor * change[c], vec4f(), factor == vec4f());
      if (FORGETS == 1u) {
        let place = atFour(placeAt, c);
        d = fma(place, select(vec4f(recalled), vec4f(), place == vec4f()), d);
      }
      change[c] = d;
    }
    write(h, row, j, total(dv), recalled);
  }
}
