// Lengths of the rectified channels of feature maps: the baseline. One channel per invocation, scalar
// loads.
//
//   y[r] = sqrt(sum over c of max(x[r, c], 0)^2)
//
// Shapes: a map f32[N, C, H, W] read as x: f32[rows = N C, columns = H W]; y: f32[rows].
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
  let start = row * params.columns;
  var sum = 0.0;
  for (var c = 0u; c < params.columns; c++) {
    let v = max(x[start + c], 0.0);
    sum += v * v;
  }
  y[row] = sqrt(sum);
}
