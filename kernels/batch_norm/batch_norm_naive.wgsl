// Batch normalisation: the baseline. One column per invocation, scalar loads, three reads of x.
//
//   y[n, c] = (x[n, c] - mean[c]) * inverse[c] * weight[c] + bias[c], then max(y, 0) with RELU
//
// Shapes: x, y: f32[rows, columns], row-major; the others: f32[columns]; statistics as in
// batch_norm_merge.wgsl. At least two rows.
// Dispatch: gridFor(columns, 64); the grid folds x into y. Accumulator: f32.

override RELU: bool = false;

struct Params {
  rows: u32,
  columns: u32,
  epsilon: f32,
  momentum: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> running_mean: array<f32>;
@group(0) @binding(4) var<storage, read_write> running_variance: array<f32>;
@group(0) @binding(5) var<storage, read_write> mean: array<f32>;
@group(0) @binding(6) var<storage, read_write> inverse: array<f32>;
@group(0) @binding(7) var<storage, read_write> y: array<f32>;
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
  let origin = x[c];
  var sum = 0.0;
  for (var n = 0u; n < params.rows; n++) {
    sum += x[n * params.columns + c] - origin;
  }
  let centre = sum / rows;
  var deviations = 0.0;
  for (var n = 0u; n < params.rows; n++) {
    let d = (x[n * params.columns + c] - origin) - centre;
    deviations += d * d;
  }
  let scale = 1.0 / sqrt(deviations / rows + params.epsilon);
  for (var n = 0u; n < params.rows; n++) {
    let at = n * params.columns + c;
    let value = ((x[at] - origin) - centre) * scale * weight[c] + bias[c];
    y[at] = select(value, max(value, 0.0), RELU);
  }
  mean[c] = origin + centre;
  inverse[c] = scale;
  running_mean[c] += params.momentum * (origin + centre - running_mean[c]);
  running_variance[c] += params.momentum * (deviations / (rows - 1.0) - running_variance[c]);
}
