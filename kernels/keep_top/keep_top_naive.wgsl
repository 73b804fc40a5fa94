// Keeps the `count` largest elements of every row, and makes up for the others: the baseline. One row
// per invocation, scalar loads, and one read of x per bit of the count-th largest element. Formula,
// modes and ties as in keep_top.wgsl.
//
// Shapes: x, y: f32[rows, columns], row-major. 1 <= count <= columns.
// Dispatch: gridFor(rows, 64); the grid folds x into y. Accumulator: f32.

override MODE: u32 = 0u;

const PRUNE = 0u;
const FILL = 1u;
const SCALE = 2u;
const SCALE_ALL = 3u;

struct Params {
  rows: u32,
  columns: u32,
  count: u32, // elements to keep
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

// Orders as the elements do; both zeros have one key.
fn key_of(value: f32) -> u32 {
  let bits = select(bitcast<u32>(value), 0u, value == 0.0);
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
  var key = 0u;
  for (var bit = 0x80000000u; bit > 0u; bit >>= 1u) {
    var count = 0u;
    for (var c = 0u; c < params.columns; c++) {
      count += select(0u, 1u, key_of(x[start + c]) >= (key | bit));
    }
    key |= select(0u, bit, count >= params.count);
  }
  var sum = 0.0;
  var kept = 0.0;
  var bound = 0.0;
  var left = params.count;
  for (var c = 0u; c < params.columns; c++) {
    let v = x[start + c];
    sum += v;
    if (key_of(v) > key) {
      kept += v;
      left--;
    } else if (key_of(v) == key) {
      bound = v;
    }
  }
  kept += f32(left) * bound;
  var factor = 1.0;
  if (MODE == FILL) {
    factor = sum / f32(params.count);
  } else if (MODE != PRUNE) {
    factor = exp(clamp(sum / max(kept, 1e-30), 0.0, 80.0));
  }
  for (var c = 0u; c < params.columns; c++) {
    let v = x[start + c];
    var stays = key_of(v) > key || MODE == SCALE_ALL;
    if (key_of(v) == key && left > 0u) {
      stays = true;
      left--;
    }
    y[start + c] = select(0.0, select(v * factor, factor, MODE == FILL), stays);
  }
}
