// Sums of the rows of each class, and how many they are: the baseline. One class and column per
// invocation, which reads all labels.
//
//   sums[s, k, c] = sum over the rows n of slice s with labels[n] = k of (x[n, c] - shift[c])
//   counts[s, k] = how many those are
//
// Shapes: x: f32[rows, columns], row-major; labels: i32[rows], others than 0 to classes - 1 skipped;
// shift: f32[columns]; sums: f32[slices, classes, columns]; counts: f32[slices, classes].
// Dispatch: gridFor(slices * classes * columns, 64); the grid folds x into y. Accumulator: f32.

struct Params {
  rows: u32,
  columns: u32,
  classes: u32,
  slice_rows: u32,
  slices: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> labels: array<i32>;
@group(0) @binding(2) var<storage, read> shift: array<f32>;
@group(0) @binding(3) var<storage, read_write> sums: array<f32>;
@group(0) @binding(4) var<storage, read_write> counts: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let at = (wid.y * grid.x + wid.x) * 64u + local;
  if (at >= params.slices * params.classes * params.columns) {
    return;
  }
  let column = at % params.columns;
  let class_at = at / params.columns;
  let class_index = i32(class_at % params.classes);
  let begin = class_at / params.classes * params.slice_rows;
  let end = min(params.rows, begin + params.slice_rows);
  var sum = 0.0;
  var count = 0.0;
  for (var n = begin; n < end; n++) {
    if (labels[n] == class_index) {
      sum += x[n * params.columns + column] - shift[column];
      count += 1.0;
    }
  }
  sums[at] = sum;
  if (column == 0u) {
    counts[class_at] = count;
  }
}
