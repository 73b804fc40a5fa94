// Reduces every row of a matrix to one number: the baseline. One row per invocation, scalar loads,
// the maximum in a read of its own, one running sum.
//
//   0 SUM, 1 MEAN, 2 MAX, 3 ARGMAX (the lowest index), 4 LSE: T log(sum of exp(x / T)),
//   5 MSP: the largest softmax(x / T)
//
// Shapes: x: f32[rows, columns], row-major; y: [rows], f32 bits, or u32 for ARGMAX. columns >= 1.
// Dispatch: gridFor(rows, 64); the grid folds x into y. Accumulator: f32.

override OPERATION: u32 = 0u;

struct Params {
  rows: u32,
  columns: u32,
  temperature: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
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
  if (OPERATION < 2u) {
    for (var c = 0u; c < params.columns; c++) {
      sum += x[start + c];
    }
    y[row] = bitcast<u32>(select(sum, sum / f32(params.columns), OPERATION == 1u));
    return;
  }
  var top = x[start];
  var index = 0u;
  for (var c = 1u; c < params.columns; c++) {
    if (x[start + c] > top) {
      top = x[start + c];
      index = c;
    }
  }
  if (OPERATION == 2u) {
    y[row] = bitcast<u32>(top);
    return;
  }
  if (OPERATION == 3u) {
    y[row] = index;
    return;
  }
  for (var c = 0u; c < params.columns; c++) {
    sum += exp((x[start + c] - top) / params.temperature);
  }
  if (OPERATION == 4u) {
    y[row] = bitcast<u32>(top + params.temperature * log(sum));
  } else {
    y[row] = bitcast<u32>(1.0 / sum);
  }
}
