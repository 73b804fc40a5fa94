// Gradient of group normalisation with respect to its input: the baseline. One group of one map per
// invocation, scalar loads, two reads of x and dY.
//
//   sums[0, n, c], sums[1, n, c] = sum over the positions of d, of d * h,  h = (x - mean) * inverse
//   dX = inverse * (weight * d - b - h * q)
//   b, q = mean over the group of weight * d, of weight * d * h
//
// d = dY; with SILU d = dY s (1 + u (1 - s)), u = h * weight + bias, s = 1 / (1 + exp(-u)).
//
// Shapes: x, dY, dX: f32[N, positions, channels]; weight, bias: f32[channels];
// mean, inverse: f32[N, groups]; sums: f32[2, N, channels].
// Dispatch: gridFor(items, 64), items = N groups; the grid folds x into y. Accumulator: f32.

override SILU: bool = false;

struct Params {
  items: u32,
  positions: u32,
  channels: u32,
  groups: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> d_y: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read> mean: array<f32>;
@group(0) @binding(5) var<storage, read> inverse: array<f32>;
@group(0) @binding(6) var<storage, read_write> sums: array<f32>;
@group(0) @binding(7) var<storage, read_write> d_x: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

fn before(d: f32, u: f32) -> f32 {
  let s = 1.0 / (1.0 + exp(min(-u, 87.0)));
  return select(d, d * (s + u * s * (1.0 - s)), SILU);
}

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
  let n = item / params.groups;
  let channel = item % params.groups * width;
  let map = n * params.positions * params.channels;
  let block = params.items / params.groups * params.channels;
  let centre = mean[item];
  let spread = inverse[item];
  var total = vec2<f32>(0.0);
  for (var c = channel; c < channel + width; c++) {
    var sum = vec2<f32>(0.0);
    for (var i = 0u; i < params.positions; i++) {
      let e = map + i * params.channels + c;
      let h = (x[e] - centre) * spread;
      let d = before(d_y[e], h * weight[c] + bias[c]);
      sum += vec2<f32>(d, d * h);
    }
    sums[n * params.channels + c] = sum.x;
    sums[block + n * params.channels + c] = sum.y;
    total += weight[c] * sum;
  }
  total /= f32(params.positions * width);
  for (var c = channel; c < channel + width; c++) {
    for (var i = 0u; i < params.positions; i++) {
      let e = map + i * params.channels + c;
      let h = (x[e] - centre) * spread;
      let d = before(d_y[e], h * weight[c] + bias[c]);
      d_x[e] = spread * (weight[c] * d - total.x - h * total.y);
    }
  }
}
