// Softmax of every row: the baseline. One row per invocation, scalar loads, three reads of x.
//
//   y[r, c] = exp((x[r, c] - m) / T) / sum over k of exp((x[r, k] - m) / T),  m = max over k of x[r, k]
//
// Shapes: x, y: f32[rows, columns], row-major. columns >= 1.
// Dispatch: gridFor(rows, 64); the grid folds x into y. Accumulator: f32.

struct Params {
  rows: u32,
  columns: u32,
  temperature: f32,
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
  var top = x[start];
  for (var c = 1u; c < params.columns; c++) {
    top = max(top, x[start + c]);
  }
  var sum = 0.0;
  for (var c = 0u; c < params.columns; c++) {
    sum += exp((x[start + c] - top) / params.temperature);
  }
  for (var c = 0u; c < params.columns; c++) {
    y[start + c] = exp((x[start + c] - top) / params.temperature) / sum;
  }
}
