// Squared length of a whitened row over a segment of whitened channels, one row per invocation:
// the permanent baseline.
//
//   first = sum_j (sum_k (x_k - mean_k) w_kj)^2
//
// Shapes: x: f32[rows, k]; mean: f32[k]; whitening: f32[k, columns]; first: f32[segments, rows].
//   Row-major. quadratic_form_finish.wgsl adds the segments.
// Bindings: x, mean, whitening, first.
// Dispatch: gridFor(segments * rows, 64), folded from x into y.
// Variants: 1. naive (this), 2. ../_row_product_register.wgsl, 3. ../_row_product_tiled.wgsl;
//   figures in docs/kernels/products.md.

struct Params {
  rows: u32,
  columns: u32,
  k: u32,
  segments: u32,
  segment: u32, // columns of one segment
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> mean: array<f32>;
@group(0) @binding(2) var<storage, read> whitening: array<f32>;
@group(0) @binding(3) var<storage, read_write> first: array<f32>;
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
  var total = 0.0;
  for (var j = begin; j < end; j++) {
    var sum = 0.0;
    for (var l = 0u; l < params.k; l++) {
      sum = fma(x[row * params.k + l] - mean[l], whitening[l * params.columns + j], sum);
    }
    total = fma(sum, sum, total);
  }
  first[item] = total;
}
