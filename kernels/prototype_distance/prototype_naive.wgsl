// The nearest of a segment of centres, one row per invocation: the permanent baseline.
//
//   KIND 0: score_j = x.y_j / |y_j|
//   KIND 1: score_j = -sum_k (x_k - y_jk)^2
//   KIND 2: score_j = -sum_k x_k (log max(x_k, epsilon) - log max(y_jk, epsilon))
//   first = max_j score_j, second = the lowest j that has it
//
// Shapes: x: f32[rows, k]; y: f32[columns, k]; first: f32[segments, rows];
//   second: u32[segments, rows]. Row-major. prototype_finish.wgsl merges the segments.
// Bindings: x, y, first, second. Dispatch: gridFor(segments * rows, 64), folded from x into y.
// Norms below 1e-12 count as 1e-12: a row of zeros has cosine 0 with everything.
// Variants: 1. naive (this), 2. ../_row_product_register.wgsl, 3. ../_row_product_tiled.wgsl;
//   figures in docs/kernels/products.md.

override KIND: u32 = 0u;

struct Params {
  rows: u32,
  columns: u32,
  k: u32,
  segments: u32,
  segment: u32, // columns of one segment
  epsilon: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> y: array<f32>;
@group(0) @binding(2) var<storage, read_write> first: array<f32>;
@group(0) @binding(3) var<storage, read_write> second: array<u32>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let item = (wid.y * grid.x + wid.x) * 64u + lane;
  if (item >= params.segments * params.rows) {
    return;
  }
  let row = item % params.rows;
  let begin = item / params.rows * params.segment;
  let end = min(begin + params.segment, params.columns);
  var best = -3.4028234e38;
  var found = begin;
  for (var j = begin; j < end; j++) {
    var sum = 0.0;
    var squares = 0.0;
    for (var l = 0u; l < params.k; l++) {
      let a = x[row * params.k + l];
      let b = y[j * params.k + l];
      if (KIND == 0u) {
        sum = fma(a, b, sum);
        squares = fma(b, b, squares);
      } else if (KIND == 1u) {
        sum = fma(a - b, a - b, sum);
      } else {
        sum = fma(a, log(max(a, params.epsilon)) - log(max(b, params.epsilon)), sum);
      }
    }
    var score = -sum;
    if (KIND == 0u) {
      score = sum / max(sqrt(squares), 1e-12);
    }
    if (score > best) {
      best = score;
      found = j;
    }
  }
  first[item] = best;
  second[item] = found;
}
