// dx[n, c] = (exp(x[n, c] − m[n]) / sum[n] − 1 if c is target[n]) · dloss[n], for some of the classes, with m and sum
// of all classes from class_sums.wgsl; 0 if the target is ignored (negative).
// Method: LANES of a workgroup's INVOCATIONS share a row. The invocation that writes an element reads it, so that dx
// may be the memory of x.
// Grid: one workgroup for each INVOCATIONS / LANES rows.

// --- parameters
struct Sizes { rows: u32, classes: u32, first: u32, all: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> sums: array<f32>;
@group(0) @binding(3) var<storage, read> targets: array<u32>;
@group(0) @binding(4) var<storage, read> dloss: array<f32>;
@group(0) @binding(5) var<storage, read_write> dx: array<f32>;
const INVOCATIONS = 64u;
const LANES = 64u;
fn rowCount() -> u32 { return sizes.rows; }
/** Classes in x. */
fn classes() -> u32 { return sizes.classes; }
/** The number of the first class in x. */
fn firstClass() -> u32 { return sizes.first; }
/** The number of all classes. */
fn allClasses() -> u32 { return sizes.all; }
/** Whether a target is ignored. */
fn ignored(bits: u32) -> bool { return false; }
/** Element i of x. */
fn value(i: u32) -> f32 { return x[i]; }
fn rounded(v: f32) -> f32 { return v; }
// --- end of parameters

@compute @workgroup_size(INVOCATIONS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) invocation: u32,
) {
  let n = (group.x + group.y * groups.x) * (INVOCATIONS / LANES) + invocation / LANES;
  if (n >= rowCount()) { return; }
  let goal = targets[n];
  let m = sums[3u * n];
  let inverse = select(1.0 / sums[3u * n + 1u], 0.0, ignored(goal));
  let factor = select(dloss[n], 0.0, ignored(goal));
  // If the target is not a class of x, `held` wraps around or is past the last class, so that no c is equal to it.
  let held = min(goal, allClasses() - 1u) - firstClass();
  let start = n * classes();
  for (var c = invocation % LANES; c < classes(); c += LANES) {
    let share = exp(value(start + c) - m) * inverse;
    dx[start + c] = rounded((share - select(0.0, 1.0, c == held)) * factor);
  }
}
