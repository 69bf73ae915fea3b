// y[i, c] = values[min(indices[i], last row), c]: rows of a table by index, in words of one or four elements. An empty
// table gives zeros.
// Method: words move unchanged, or from one encoding to another if table and result are stored differently.
// Grid: one invocation for EACH words of y.

// --- parameters
struct Sizes { rows: u32, width: u32, table: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> values: array<u32>;
@group(0) @binding(2) var<storage, read> indices: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<u32>;
alias Word = u32;
/** Word `at` of the table, in the encoding of y. */
fn wordAt(at: u32) -> Word { return values[at]; }
const LANES = 64u;
const EACH = 1u;
/** Indices. */
fn rowCount() -> u32 { return sizes.rows; }
/** Words of a row. */
fn width() -> u32 { return sizes.width; }
/** Rows of the table. */
fn tableRows() -> u32 { return sizes.table; }
// --- end of parameters

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = (group.x + group.y * groups.x) * (LANES * EACH);
  let end = min(first + LANES * EACH, rowCount() * width());
  for (var i = first + lane; i < end; i += LANES) {
    var v = Word();
    if (tableRows() > 0u) { v = wordAt(min(indices[i / width()], tableRows() - 1u) * width() + i % width()); }
    y[i] = v;
  }
}
