// Log-sum-exp of a linear head's logits over a segment of classes, one row per invocation: the
// permanent baseline.
//
//   z_j = (sum_k min(x_k, clip) w_jk + bias_j) * scale
//   first = max_j z_j, second = bits of sum_j exp(z_j - first)
//
// Shapes: x: f32[rows, k]; weight: f32[columns, k]; bias: f32[columns], read when has_bias is 1;
//   first: f32[segments, rows]; second: u32[segments, rows]. Row-major. head_energy_finish.wgsl
//   merges the segments.
// Bindings: x, weight, bias, first, second. Without a bias any buffer may stand for it.
// Dispatch: gridFor(segments * rows, 64), folded from x into y.
// Variants: 1. naive (this), 2. ../_row_product_register.wgsl, 3. ../_row_product_tiled.wgsl;
//   figures in docs/kernels/products.md.

struct Params {
  rows: u32,
  columns: u32,
  k: u32,
  segments: u32,
  segment: u32, // columns of one segment
  has_bias: u32,
  has_clip: u32,
  clip: f32,
  scale: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> first: array<f32>;
@group(0) @binding(4) var<storage, read_write> second: array<u32>;
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
  var top = -3.4028234e38;
  var mass = 0.0;
  for (var j = begin; j < end; j++) {
    var sum = 0.0;
    for (var l = 0u; l < params.k; l++) {
      var a = x[row * params.k + l];
      if (params.has_clip == 1u) {
        a = min(a, params.clip);
      }
      sum = fma(a, weight[j * params.k + l], sum);
    }
    if (params.has_bias == 1u) {
      sum += bias[j];
    }
    let z = sum * params.scale;
    let higher = max(top, z);
    mass = mass * exp(top - higher) + exp(z - higher);
    top = higher;
  }
  first[item] = top;
  second[item] = bitcast<u32>(mass);
}
