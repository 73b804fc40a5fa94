// The size of the gradient of a linear head's weight: the baseline. One row per invocation, scalar
// loads. Formula as in gradient_norm.wgsl.
//
// Shapes: x: f32[rows, channels] and z: f32[rows, classes], row-major; y: f32[rows]. channels >= 1,
// classes >= 1.
// Dispatch: gridFor(rows, 64); the grid folds x into y. Accumulator: f32.

struct Params {
  rows: u32,
  channels: u32,
  classes: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> z: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
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
  var magnitude = 0.0;
  for (var c = 0u; c < params.channels; c++) {
    magnitude += abs(x[row * params.channels + c]);
  }
  let start = row * params.classes;
  var top = z[start];
  for (var c = 1u; c < params.classes; c++) {
    top = max(top, z[start + c]);
  }
  var sum = 0.0;
  for (var c = 0u; c < params.classes; c++) {
    sum += exp(z[start + c] - top);
  }
  var gap = 0.0;
  for (var c = 0u; c < params.classes; c++) {
    gap += abs(f32(params.classes) * exp(z[start + c] - top) / sum - 1.0);
  }
  y[row] = magnitude * gap;
}
