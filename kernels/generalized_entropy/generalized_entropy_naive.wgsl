// Generalised entropy of the softmax of every row, over its largest probabilities: the baseline. One
// row per invocation, scalar loads, and one read of x per bit of the count-th largest element.
//
//   y[r] = -sum over the `count` largest p of p^gamma (1 - p)^gamma,  p = softmax(x[r]),  0^gamma = 0
//
// Shapes: x: f32[rows, columns], row-major; y: f32[rows]. 1 <= count <= columns, gamma > 0.
// Dispatch: gridFor(rows, 64); the grid folds x into y. Accumulator: f32.
// The largest probability's 1 - p comes from the sum of the others, relative to the second largest
// element; see generalized_entropy.wgsl.

const LOWEST = -3.4028234e38;

struct Params {
  rows: u32,
  columns: u32,
  gamma: f32,
  count: u32, // probabilities that count
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

// Orders as the elements do.
fn key_of(value: f32) -> u32 {
  let bits = bitcast<u32>(value);
  return select(bits | 0x80000000u, ~bits, (bits & 0x80000000u) != 0u);
}

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
  if (params.columns == 1u) {
    y[row] = 0.0;
    return;
  }
  var top = LOWEST;
  var second = LOWEST;
  for (var c = 0u; c < params.columns; c++) {
    let v = x[start + c];
    second = max(second, min(top, v));
    top = max(top, v);
  }
  var others = 0.0;
  var ties = 0.0;
  for (var c = 0u; c < params.columns; c++) {
    let v = x[start + c];
    if (v < top) {
      others += exp(v - second);
    } else {
      ties += 1.0;
    }
  }
  others += ties - 1.0;
  let log_others = second - top + log(others);
  let log_sum = log(1.0 + exp(log_others));
  var key = 0u;
  for (var bit = 0x80000000u; bit > 0u; bit >>= 1u) {
    var count = 0u;
    for (var c = 0u; c < params.columns; c++) {
      count += select(0u, 1u, key_of(x[start + c]) >= (key | bit));
    }
    key |= select(0u, bit, count >= params.count);
  }
  var entropy = 0.0;
  var equal = 0.0;
  var left = params.count;
  for (var c = 0u; c < params.columns; c++) {
    let v = x[start + c];
    let log_p = v - top - log_sum;
    var log_q = log_others - log_sum;
    if (v < top) {
      log_q = log(1.0 - exp(log_p));
    }
    let term = exp(params.gamma * (log_p + log_q));
    if (key_of(v) > key) {
      entropy += term;
      left--;
    } else if (key_of(v) == key) {
      equal = term;
    }
  }
  y[row] = -(entropy + f32(left) * equal);
}
