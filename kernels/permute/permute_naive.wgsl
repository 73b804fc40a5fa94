// The transpose of every matrix of a batch, one element per invocation: the baseline.
//
//   y[n, c, r] = x[n, r, c]
//
// Shapes: x: f32[N, rows, columns]; y: f32[N, columns, rows].
// Dispatch: gridFor(N rows columns, 64); the grid folds x into y.

struct Params {
  batch: u32, // N
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
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (wid.y * grid.x + wid.x) * 64u + lane;
  if (i >= params.batch * params.rows * params.columns) {
    return;
  }
  let r = i % params.rows;
  let c = i / params.rows % params.columns;
  let n = i / (params.rows * params.columns);
  y[i] = x[(n * params.rows + r) * params.columns + c];
}
