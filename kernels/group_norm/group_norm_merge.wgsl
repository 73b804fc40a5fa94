// Statistics of every group of every map from those of its channels' parts, and what follows from them
// for each channel: the second pass of group normalisation.
//
//   mean[n, g], inverse[n, g] = 1 / sqrt(variance + epsilon), the variance biased
//   table = origin, centre, scale, shift: u = ((x - origin) - centre) * scale + shift
//   origin = x[n, 0, first channel of g], centre = mean - origin, scale = inverse * weight, shift = bias
//
// x - origin is exact where the mean is large.
//
// Shapes: x: f32[N, positions, channels]; parts: f32[2, N, parts, channels] of
// group_norm_statistics.wgsl; weight, bias: f32[channels]; mean, inverse: f32[N, groups];
// table: f32[4, N, channels].
// Dispatch: gridFor(items, WORKGROUP / LANES), items = N groups; the grid folds x into y. LANES
// invocations share a group and meet in a tree.
// Numerics: f32; parts are merged in a fixed order as in the first pass, by the positions that each
// has.

override WORKGROUP: u32 = 8u; // a multiple of LANES
override LANES: u32 = 1u; // a power of two

struct Params {
  items: u32,
  positions: u32,
  channels: u32,
  groups: u32,
  parts: u32, // of a map
  full: u32, // positions of a part before the last slice
  last: u32, // the first part of the last slice
  rest: u32, // positions of a part of the last slice, at least
  more: u32, // parts of the last slice that have one more
  epsilon: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> parts: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> mean: array<f32>;
@group(0) @binding(5) var<storage, read_write> inverse: array<f32>;
@group(0) @binding(6) var<storage, read_write> table: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

// Of some numbers: how many, their mean, and the sum of their squared deviations from it.
struct Moments {
  count: f32,
  mean: f32,
  deviations: f32,
}

var<workgroup> shared_moments: array<Moments, WORKGROUP>;

fn merge(a: Moments, b: Moments) -> Moments {
  let count = a.count + b.count;
  let share = b.count / max(count, 1.0);
  let step = b.mean - a.mean;
  return Moments(
    count,
    fma(step, share, a.mean),
    a.deviations + b.deviations + step * step * share * a.count,
  );
}

// Positions of a part; without divisions, which a software adapter does lane by lane.
fn rows_of(part: u32) -> u32 {
  let behind = part - min(part, params.last);
  return select(params.full, params.rest + select(0u, 1u, behind < params.more), part >= params.last);
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let item = (wid.y * grid.x + wid.x) * (WORKGROUP / LANES) + local / LANES;
  let lane = local % LANES;
  let inside = item < params.items;
  let n = select(0u, item / params.groups, inside);
  let width = params.channels / params.groups;
  let channel = select(0u, item % params.groups * width, inside);
  let map = n * params.positions * params.channels;
  let size = params.items / params.groups * params.parts * params.channels;
  let turns = select(0u, params.parts * width, inside);
  let origin = x[map + channel];
  var moments = Moments(0.0, 0.0, 0.0);
  var part = lane / width;
  var k = lane % width;
  for (var t = lane; t < turns; t += LANES) {
    let rows = rows_of(part);
    if (rows > 0u) {
      let at = (n * params.parts + part) * params.channels + channel + k;
      let apart = x[map + channel + k] - origin;
      moments = merge(moments, Moments(f32(rows), parts[at] + apart, parts[size + at]));
    }
    k += LANES % width;
    part += LANES / width + select(0u, 1u, k >= width);
    k -= select(0u, width, k >= width);
  }
  if (LANES > 1u) {
    shared_moments[local] = moments;
    for (var stride = LANES / 2u; stride > 0u; stride /= 2u) {
      workgroupBarrier();
      if (lane < stride) {
        moments = merge(moments, shared_moments[local + stride]);
        shared_moments[local] = moments;
      }
    }
    workgroupBarrier();
    moments = shared_moments[local - lane];
  }
  let spread = 1.0 / sqrt(moments.deviations / max(moments.count, 1.0) + params.epsilon);
  if (inside && lane == 0u) {
    mean[item] = origin + moments.mean;
    inverse[item] = spread;
  }
  let block = params.items / params.groups * params.channels;
  for (var k = lane; k < select(0u, width, inside); k += LANES) {
    let c = channel + k;
    let at = n * params.channels + c;
    table[at] = origin;
    table[block + at] = moments.mean;
    table[2u * block + at] = spread * weight[c];
    table[3u * block + at] = bias[c];
  }
}
