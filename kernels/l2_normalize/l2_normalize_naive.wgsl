// Scales every row to Euclidean length one: the baseline. One row per invocation, scalar loads.
//
//   y[r, c] = x[r, c] / max(sqrt(sum over k of x[r, k]^2), epsilon)
//
// Shapes: x, y: f32[rows, columns], row-major. columns >= 1.
// Dispatch: gridFor(rows, 64); the grid folds x into y. Accumulator: f32.

struct Params {
  rows: u32,
  columns: u32,
  epsilon: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let row = (wid.y * grid.x + wid.x) * 64u + local;
  if (row >= params.rows) {
    return;
  }
  let start = row * params.columns;
  var sum = 0.0;
  for (var c = 0u; c < params.columns; c++) {
    sum += x[start + c] * x[start + c];
  }
  let norm = max(sqrt(sum), params.epsilon);
  for (var c = 0u; c < params.columns; c++) {
    y[start + c] = x[start + c] / norm;
  }
}
