// Gradients of batch normalisation over a batch's statistics: the baseline. One column per
// invocation, scalar loads, two reads of x and dY.
//
//   dBias = sum dY,  dWeight = sum dY h,  h = (x - mean) * inverse
//   dX = weight * inverse * (dY - dBias / rows - h * dWeight / rows)
//
// Shapes: x, dY, dX: f32[rows, columns], row-major; the others: f32[columns].
// Dispatch: gridFor(columns, 64); the grid folds x into y. Accumulator: f32.

struct Params {
  rows: u32,
  columns: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> d_y: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read> mean: array<f32>;
@group(0) @binding(4) var<storage, read> inverse: array<f32>;
@group(0) @binding(5) var<storage, read_write> d_x: array<f32>;
@group(0) @binding(6) var<storage, read_write> d_weight: array<f32>;
@group(0) @binding(7) var<storage, read_write> d_bias: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let c = (wid.y * grid.x + wid.x) * 64u + local;
  if (c >= params.columns) {
    return;
  }
  let rows = f32(params.rows);
  var of_weight = 0.0;
  var of_bias = 0.0;
  for (var n = 0u; n < params.rows; n++) {
    let at = n * params.columns + c;
    of_weight += d_y[at] * (x[at] - mean[c]) * inverse[c];
    of_bias += d_y[at];
  }
  for (var n = 0u; n < params.rows; n++) {
    let at = n * params.columns + c;
    let h = (x[at] - mean[c]) * inverse[c];
    d_x[at] = weight[c] * inverse[c] * (d_y[at] - of_bias / rows - h * of_weight / rows);
  }
  d_weight[c] = of_weight;
  d_bias[c] = of_bias;
}
