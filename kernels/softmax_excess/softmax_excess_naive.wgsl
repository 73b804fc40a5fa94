// How far the largest softmax of every row lies above chance, at a temperature T: the baseline. One
// row per invocation, scalar loads. Formula and numerics as in softmax_excess.wgsl.
//
// Shapes: x: f32[rows, columns], row-major; y: f32[rows]. columns >= 1, T > 0.
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
    let d = (top - x[start + c]) / params.temperature;
    var fall = 1.0 - exp(-d);
    if (d <= 0.5) {
      fall = d * (1.0 - d / 2.0 * (1.0 - d / 3.0 * (1.0 - d / 4.0 * (1.0 - d / 5.0 *
        (1.0 - d / 6.0 * (1.0 - d / 7.0))))));
    }
    sum += fall;
  }
  y[row] = params.temperature * sum / f32(params.columns);
}
