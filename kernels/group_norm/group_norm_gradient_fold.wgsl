// What the gradient of group normalisation by its input needs of each channel: the second pass.
//
//   table = mean, scale, slope, shift: dX = scale * d - (x - mean) * slope - shift
//   scale = weight * inverse,  slope = inverse^2 * q,  shift = inverse * b
//   b, q = sum over the channels of the group of weight * sums[0], weight * sums[1], over its size
//
// Shapes: sums: f32[2, N, channels], over all positions, of group_norm_gradient_sums.wgsl;
// mean, inverse: f32[N, groups]; weight: f32[channels]; table: f32[4, N, channels].
// Dispatch: gridFor(items, WORKGROUP / LANES), items = N groups; the grid folds x into y. LANES
// invocations share a group and meet in a tree. Accumulator: f32, in a fixed order.

override WORKGROUP: u32 = 8u; // a multiple of LANES
override LANES: u32 = 1u; // a power of two

struct Params {
  items: u32,
  channels: u32,
  groups: u32,
  share: f32, // 1 / (positions * channels of a group)
}

@group(0) @binding(0) var<storage, read> sums: array<f32>;
@group(0) @binding(1) var<storage, read> mean: array<f32>;
@group(0) @binding(2) var<storage, read> inverse: array<f32>;
@group(0) @binding(3) var<storage, read> weight: array<f32>;
@group(0) @binding(4) var<storage, read_write> table: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

var<workgroup> shared_totals: array<vec2<f32>, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let item = (wid.y * grid.x + wid.x) * (WORKGROUP / LANES) + local / LANES;
  let lane = local % LANES;
  let inside = item < params.items;
  let width = select(0u, params.channels / params.groups, inside);
  let channel = item % params.groups * width;
  let entry = item / params.groups * params.channels + channel;
  let block = params.items / params.groups * params.channels;
  var total = vec2<f32>(0.0);
  for (var k = lane; k < width; k += LANES) {
    total += weight[channel + k] * vec2<f32>(sums[entry + k], sums[block + entry + k]);
  }
  if (LANES > 1u) {
    shared_totals[local] = total;
    for (var stride = LANES / 2u; stride > 0u; stride /= 2u) {
      workgroupBarrier();
      if (lane < stride) {
        total += shared_totals[local + stride];
        shared_totals[local] = total;
      }
    }
    workgroupBarrier();
    total = shared_totals[local - lane];
  }
  let centre = mean[select(0u, item, inside)];
  let spread = inverse[select(0u, item, inside)];
  total *= params.share * spread;
  for (var k = lane; k < width; k += LANES) {
    table[entry + k] = centre;
    table[block + entry + k] = spread * weight[channel + k];
    table[2u * block + entry + k] = spread * total.y;
    table[3u * block + entry + k] = total.x;
  }
}
