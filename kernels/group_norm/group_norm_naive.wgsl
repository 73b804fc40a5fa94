// Group normalisation: the baseline. One group of one map per invocation, scalar loads, three reads
// of x.
//
//   u = (x - mean) * inverse * weight + bias,  inverse = 1 / sqrt(variance + epsilon)
//   y = u, with SILU y = u / (1 + exp(-u))
//
// Shapes: x, y: f32[N, positions, channels]; weight, bias: f32[channels];
// mean, inverse: f32[N, groups].
// Dispatch: gridFor(items, 64), items = N groups; the grid folds x into y. Accumulator: f32.

override SILU: bool = false;

struct Params {
  items: u32,
  positions: u32,
  channels: u32,
  groups: u32,
  epsilon: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> mean: array<f32>;
@group(0) @binding(4) var<storage, read_write> inverse: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let item = (wid.y * grid.x + wid.x) * 64u + local;
  if (item >= params.items) {
    return;
  }
  let width = params.channels / params.groups;
  let channel = item % params.groups * width;
  let map = item / params.groups * params.positions * params.channels + channel;
  let turns = params.positions * width;
  var sum = 0.0;
  for (var t = 0u; t < turns; t++) {
    sum += x[map + t / width * params.channels + t % width];
  }
  let centre = sum / f32(turns);
  var deviations = 0.0;
  for (var t = 0u; t < turns; t++) {
    let apart = x[map + t / width * params.channels + t % width] - centre;
    deviations += apart * apart;
  }
  let spread = 1.0 / sqrt(deviations / f32(turns) + params.epsilon);
  mean[item] = centre;
  inverse[item] = spread;
  for (var t = 0u; t < turns; t++) {
    let e = map + t / width * params.channels + t % width;
    let c = channel + t % width;
    let u = (x[e] - centre) * spread * weight[c] + bias[c];
    y[e] = select(u, u / (1.0 + exp(min(-u, 87.0))), SILU);
  }
}
