// The norm of every row of a matrix: the baseline. One row per invocation, scalar loads.
//
//   y[r] = sqrt(sum over c of x[r, c]^2)
//
// Shapes: x: f32[rows, columns], row-major; y: f32[rows]. columns >= 1.
// Dispatch: gridFor(rows, 64); the grid folds x into y. Accumulator: f32.

struct Params {
  rows: u32,
  columns: u32,
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
  var sum = 0.0;
  for (var c = 0u; c < params.columns; c++) {
    sum += x[row * params.columns + c] * x[row * params.columns + c];
  }
  y[row] = sqrt(sum);
}
