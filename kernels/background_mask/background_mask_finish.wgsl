// Probability of the true class at every location from log-sum-exp states, and which locations are
// background.
//
//   m = max_s top_s,  mass = sum_s mass_s exp(top_s - m)
//   z = sum_k x[r, k] weight[label, k] + bias[label],  label = labels[r / locations]
//   probability[r] = exp(z - m) / mass,  mask[r] = 1 where that is below delta, else 0
//
// Shapes: x: vec4<f32>[rows, quads]; weight: vec4<f32>[classes, quads], both padded with zeros along
// k; bias: f32[classes], read when has_bias is 1; labels: i32[rows / locations];
// first: f32[segments, rows], tops; second: u32[segments, rows], bits of the masses;
// mask, probability: f32[rows]; without HAS_PROBABILITY that is not written.
// Dispatch: gridFor(rows, WORKGROUP); the grid folds x into y. Accumulator: f32, in the order of k.
// quads + segments is at most 60,000.

override WORKGROUP: u32 = 8u;
override HAS_PROBABILITY: bool = true;

struct Params {
  rows: u32,
  quads: u32,
  locations: u32,
  segments: u32,
  has_bias: u32,
  delta: f32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> weight: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read> labels: array<i32>;
@group(0) @binding(4) var<storage, read> first: array<f32>;
@group(0) @binding(5) var<storage, read> second: array<u32>;
@group(0) @binding(6) var<storage, read_write> mask: array<f32>;
@group(0) @binding(7) var<storage, read_write> probability: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let row = (wid.y * grid.x + wid.x) * WORKGROUP + local;
  if (row >= params.rows) {
    return;
  }
  var top = first[row];
  var mass = bitcast<f32>(second[row]);
  for (var s = 1u; s < params.segments; s++) {
    let other = first[s * params.rows + row];
    let higher = max(top, other);
    let added = bitcast<f32>(second[s * params.rows + row]) * exp(other - higher);
    mass = mass * exp(top - higher) + added;
    top = higher;
  }
  let label = u32(labels[row / params.locations]);
  var sum = vec4<f32>(0.0);
  for (var q = 0u; q < params.quads; q++) {
    sum = fma(x[row * params.quads + q], weight[label * params.quads + q], sum);
  }
  var z = (sum.x + sum.y) + (sum.z + sum.w);
  if (params.has_bias == 1u) {
    z += bias[label];
  }
  let p = min(1.0, exp(z - top) / mass);
  if (HAS_PROBABILITY) {
    probability[row] = p;
  }
  mask[row] = select(0.0, 1.0, p < params.delta);
}
