// packed[panel, k, r] = a[the panel's first row + r, k]: a of a product as matmul_packed.wgsl reads it.
// Method: an invocation makes the texels of a row, each of which holds four k; those of a workgroup, one of each row of
// a panel, lie side by side. k is padded with zeros.
// Grid: a workgroup for each panel of WIDTH rows and CHUNK of k.

// --- parameters
struct Sizes { rows: u32, depth: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var packed: texture_storage_2d<rgba32float, write>;
const WIDTH = 8u;
const CHUNK = 256u;
fn rowCount() -> u32 { return sizes.rows; }
fn depth() -> u32 { return sizes.depth; }
/** Rows of a batch that a panel has, from `first` to before `end`, and its chunk. */
struct Tile { batch: u32, first: u32, end: u32, place: u32 }
fn tileAt(n: u32, tiles: u32, across: u32, height: u32) -> Tile {
  let down = tiles / across;
  return Tile(0u, n % down * height, rowCount(), n / down);
}
/** How many k a batch sums over. */
fn reach(batch: u32) -> u32 { return depth(); }
/** A row of a, by its offset. */
struct RowA { at: u32 }
fn rowA(batch: u32, row: u32) -> RowA { return RowA(row * depth()); }
/** What column k of a needs whatever the row: nothing. */
alias ColA = u32;
fn colA(k: u32) -> ColA { return k; }
fn valueA(r: RowA, c: ColA, k: u32) -> f32 { return a[r.at + k]; }
/** Texels of a row, padding included. */
fn packedDepth() -> u32 { return (depth() + 7u) / 8u * 2u; }
/** The number of a tile's first panel: panels begin where a batch does. */
fn packedPanel(tile: Tile) -> u32 { return tile.first / WIDTH + tile.batch; }
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
