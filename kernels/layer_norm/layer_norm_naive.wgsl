// Layer normalisation of every row: the baseline. One row per invocation, scalar loads, three reads
// of x.
//
//   y[r, c] = (x[r, c] - mean(x[r])) / sqrt(variance(x[r]) + epsilon) * weight[c] + bias[c]
//
// Shapes: x, y: f32[rows, columns], row-major; weight, bias: f32[columns], not read without HAS_WEIGHT
// or HAS_BIAS. columns >= 1.
// Dispatch: gridFor(rows, 64); the grid folds x into y. Accumulator: f32.

override HAS_WEIGHT: bool = true;
override HAS_BIAS: bool = true;

struct Params {
  rows: u32,
  columns: u32,
  epsilon: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
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
    sum += x[start + c];
  }
  let mean = sum / f32(params.columns);
  var deviations = 0.0;
  for (var c = 0u; c < params.columns; c++) {
    let d = x[start + c] - mean;
    deviations += d * d;
  }
  let scale = 1.0 / sqrt(deviations / f32(params.columns) + params.epsilon);
  for (var c = 0u; c < params.columns; c++) {
    var value = (x[start + c] - mean) * scale;
    if (HAS_WEIGHT) {
      value *= weight[c];
    }
    if (HAS_BIAS) {
      value += bias[c];
    }
    y[start + c] = value;
  }
}
