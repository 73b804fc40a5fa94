// Probability of the true class at every location, and which locations are background: the
// baseline. One location per invocation, scalar loads, logits folded into a running log-sum-exp.
//
//   z_j = sum_k x[r, k] weight[j, k] + bias[j]
//   probability[r] = exp(z_label) / sum_j exp(z_j),  mask[r] = 1 where that is below delta, else 0
//
// Shapes: x: f32[rows, k]; weight: f32[classes, k]; bias: f32[classes], read when has_bias is 1;
// labels: i32[rows / locations]; mask, probability: f32[rows].
// Dispatch: gridFor(rows, 64); the grid folds x into y. Accumulator: f32.

override HAS_PROBABILITY: bool = true;

struct Params {
  rows: u32,
  k: u32,
  classes: u32,
  locations: u32,
  has_bias: u32,
  delta: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read> labels: array<i32>;
@group(0) @binding(4) var<storage, read_write> mask: array<f32>;
@group(0) @binding(5) var<storage, read_write> probability: array<f32>;
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
  let label = u32(labels[row / params.locations]);
  var top = -3.4028234e38;
  var mass = 0.0;
  var own = 0.0;
  for (var j = 0u; j < params.classes; j++) {
    var z = 0.0;
    for (var l = 0u; l < params.k; l++) {
      z = fma(x[row * params.k + l], weight[j * params.k + l], z);
    }
    if (params.has_bias == 1u) {
      z += bias[j];
    }
    let higher = max(top, z);
    mass = mass * exp(top - higher) + exp(z - higher);
    top = higher;
    if (j == label) {
      own = z;
    }
  }
  let p = min(1.0, exp(own - top) / mass);
  if (HAS_PROBABILITY) {
    probability[row] = p;
  }
  mask[row] = select(0.0, 1.0, p < params.delta);
}
