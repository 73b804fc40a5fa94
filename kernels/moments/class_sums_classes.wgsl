// Sums of the rows of each class, and how many they are, by classes: a workgroup owns a class and
// WORKGROUP neighbouring columns, its invocations read the labels together, four at a time, and only
// the rows of their class. The sums stay in registers, nothing is atomic, and the order is that of
// the rows.
//
//   sums[s, k, c] = sum over the rows n of slice s with labels[n] = k of (x[n, c] - shift[c])
//   counts[s, k] = how many those are
//
// Shapes: x: f32[rows, columns], row-major; labels: i32[rows], others than 0 to classes - 1 skipped,
// bound twice (scalars and vec4, the same memory); shift: f32[columns];
// sums: f32[slices, classes, columns]; counts: f32[slices, classes].
// Dispatch: gridFor(slices * classes * ceil(columns / WORKGROUP), 1); the grid folds x into y.
// slice_rows is a multiple of four.

override WORKGROUP: u32 = 64u;

struct Params {
  rows: u32,
  columns: u32,
  classes: u32,
  slice_rows: u32,
  slices: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> labels: array<i32>;
@group(0) @binding(2) var<storage, read> labels4: array<vec4<i32>>;
@group(0) @binding(3) var<storage, read> shift: array<f32>;
@group(0) @binding(4) var<storage, read_write> sums: array<f32>;
@group(0) @binding(5) var<storage, read_write> counts: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let blocks = (params.columns + WORKGROUP - 1u) / WORKGROUP;
  let at = wid.y * grid.x + wid.x;
  let class_at = at / blocks;
  let column = at % blocks * WORKGROUP + local;
  if (class_at >= params.slices * params.classes || column >= params.columns) {
    return;
  }
  let class_index = i32(class_at % params.classes);
  let begin = class_at / params.classes * params.slice_rows;
  let end = min(params.rows, begin + params.slice_rows);
  let origin = shift[column];
  var sum = 0.0;
  var count = 0.0;
  var n = begin;
  for (; n + 4u <= end; n += 4u) {
    let hit = labels4[n >> 2u] == vec4<i32>(class_index);
    if (any(hit)) {
      for (var i = 0u; i < 4u; i++) {
        if (hit[i]) {
          sum += x[(n + i) * params.columns + column] - origin;
          count += 1.0;
        }
      }
    }
  }
  for (; n < end; n++) {
    if (labels[n] == class_index) {
      sum += x[n * params.columns + column] - origin;
      count += 1.0;
    }
  }
  sums[class_at * params.columns + column] = sum;
  if (column == 0u) {
    counts[class_at] = count;
  }
}
