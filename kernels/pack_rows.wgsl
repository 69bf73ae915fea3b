// packed[panel, k, r] = a[the panel's first row + r, k]: operand a of a product, in the layout for matmul_packed.wgsl.
// Method: an invocation writes the texels of one row; a texel has four k. The rows of a panel are the lanes of a
// workgroup, so lanes write neighbouring texels. k is padded with zeros.
// Grid: one workgroup for each panel of WIDTH rows and CHUNK values of k.

// --- parameters
struct Sizes { rows: u32, depth: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var packed: texture_storage_2d<rgba32float, write>;
/** Rows of a panel. */
const WIDTH = 8u;
/** Values of k that a workgroup packs. */
const CHUNK = 256u;
fn rowCount() -> u32 { return sizes.rows; }
fn depth() -> u32 { return sizes.depth; }
/** A panel: the rows of a batch from `first` on, before `end`. `place`: the panel's chunk of k. */
struct Tile { batch: u32, first: u32, end: u32, place: u32 }
/** Tile n of the grid's `tiles` tiles, down the rows first. */
fn tileAt(n: u32, tiles: u32, across: u32, height: u32) -> Tile {
  let down = tiles / across;
  return Tile(0u, n % down * height, rowCount(), n / down);
}
/** The depth that a batch sums over. */
fn reach(batch: u32) -> u32 { return depth(); }
/** A row of a: its first element's index. */
struct RowA { at: u32 }
fn rowA(batch: u32, row: u32) -> RowA { return RowA(row * depth()); }
/** Column k's data for all rows of a; here none. */
alias ColA = u32;
fn colA(k: u32) -> ColA { return k; }
/** Element k of a row of a. */
fn valueA(r: RowA, c: ColA, k: u32) -> f32 { return a[r.at + k]; }
/** Texels of a row, padding included. */
fn packedDepth() -> u32 { return (depth() + 7u) / 8u * 2u; }
/** The index of a tile's first panel. Each batch starts a new panel. */
fn packedPanel(tile: Tile) -> u32 { return tile.first / WIDTH + tile.batch; }
/** The place of a texel in the texture. */
fn packedAt(at: u32) -> vec2u { return vec2u(at % 8192u, at / 8192u); }
// --- end of parameters

@compute @workgroup_size(WIDTH)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let across = (packedDepth() * 4u + CHUNK - 1u) / CHUNK;
  let tile = tileAt(group.x + group.y * groups.x, groups.x * groups.y, across, WIDTH);
  let count = reach(tile.batch);
  if (tile.place >= across || tile.first + lane >= tile.end || count == 0u) { return; }

  let row = rowA(tile.batch, tile.first + lane);
  let begin = tile.place * (CHUNK / 4u);
  let end = min(begin + CHUNK / 4u, packedDepth());
  let panel = packedPanel(tile) * packedDepth();
  for (var n = begin; n < end; n++) {
    var x: vec4f;
    for (var i = 0u; i < 4u; i++) {
      let k = min(n * 4u + i, count - 1u);
      x[i] = select(valueA(row, colA(k), k), 0.0, n * 4u + i >= count);
    }
    textureStore(packed, packedAt((panel + n) * WIDTH + lane), x);
  }
}
