// Gradients of weight and bias of group normalisation: sums over the maps.
//
//   dBias[c] = sum over n of sums[0, n, c],  dWeight[c] = sum over n of sums[1, n, c]
//
// Shapes: sums: f32[2, N, channels], over all positions, of group_norm_gradient_sums.wgsl;
// d_weight, d_bias: f32[channels].
// Dispatch: gridFor(channels, 8); the grid folds x into y. A workgroup owns eight channels, LANES
// invocations share a channel and meet in a tree. Accumulator: f32, in a fixed order.

override WORKGROUP: u32 = 8u; // 8 * LANES
override LANES: u32 = 1u; // a power of two

struct Params {
  maps: u32,
  channels: u32,
}

@group(0) @binding(0) var<storage, read> sums: array<f32>;
@group(0) @binding(1) var<storage, read_write> d_weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> d_bias: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

var<workgroup> shared_sums: array<vec2<f32>, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let channel = (wid.y * grid.x + wid.x) * 8u + local % 8u;
  let lane = local / 8u;
  let inside = channel < params.channels;
  let size = params.maps * params.channels;
  var sum = vec2<f32>(0.0);
  for (var n = select(params.maps, lane, inside); n < params.maps; n += LANES) {
    let at = n * params.channels + channel;
    sum += vec2<f32>(sums[at], sums[size + at]);
  }
  if (LANES > 1u) {
    shared_sums[local] = sum;
    for (var stride = LANES / 2u; stride > 0u; stride /= 2u) {
      workgroupBarrier();
      if (lane < stride) {
        sum += shared_sums[local + 8u * stride];
        shared_sums[local] = sum;
      }
    }
  }
  if (inside && lane == 0u) {
    d_bias[channel] = sum.x;
    d_weight[channel] = sum.y;
  }
}
