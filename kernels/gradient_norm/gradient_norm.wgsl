// The size of the gradient of a linear head's weight, by which a row is told from the training data.
//
//   y[r] = |x[r]|_1 * sum over c of |classes * p[r, c] - 1|,  p[r] = softmax(z[r])
//
// which is the sum of magnitudes of the gradient of -sum over c of log p[r, c] by the weight of
// z = W x + b, without a backward pass.
//
// Shapes: x: f32[rows, channels] and z: f32[rows, classes], row-major, each bound twice (scalars and
// vec4, the same memory); y: f32[rows]. channels >= 1, classes >= 1.
// Dispatch: gridFor(rows, WORKGROUP / LANES); the grid folds x into y. LANES invocations share a
// row: 1 is the serial variant, WORKGROUP the tree variant. One read of x, three of z.
// Numerics: f32, summed in blocks of BLOCK groups, the exponentials shifted by the row's maximum. The
// order of all sums depends on the lengths and LANES only.
// Source: Huang, Geng and Li, "On the importance of gradients for detecting distributional shifts in
// the wild", 2021.

override WORKGROUP: u32 = 8u; // invocations per workgroup
override LANES: u32 = 1u; // invocations per row, a power of two that divides WORKGROUP
override VECTOR_X: bool = true; // channels is a multiple of 4
override VECTOR_Z: bool = true; // classes is a multiple of 4

const BLOCK = 64u; // groups of four
const LOWEST = -3.4028234e38;

struct Params {
  rows: u32,
  channels: u32,
  classes: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> x4: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> z: array<f32>;
@group(0) @binding(3) var<storage, read> z4: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

var<workgroup> shared_value: array<f32, WORKGROUP>;

fn largest(v: vec4<f32>) -> f32 {
  return max(max(v.x, v.y), max(v.z, v.w));
}

fn total(v: vec4<f32>) -> f32 {
  return (v.x + v.y) + (v.z + v.w);
}

// Four neighbours of a row of x that begins at element `start`, zeros beyond its end.
fn group_x(start: u32, j: u32) -> vec4<f32> {
  if (VECTOR_X) {
    return x4[(start >> 2u) + j];
  }
  let left = params.channels - 4u * j;
  let at = start + 4u * j;
  if (left >= 4u) {
    return vec4<f32>(x[at], x[at + 1u], x[at + 2u], x[at + 3u]);
  }
  var v = vec4<f32>(x[at], 0.0, 0.0, 0.0);
  if (left > 1u) {
    v.y = x[at + 1u];
  }
  if (left > 2u) {
    v.z = x[at + 2u];
  }
  return v;
}

// The same of z, with `padding` beyond the end.
fn group_z(start: u32, j: u32, padding: f32) -> vec4<f32> {
  if (VECTOR_Z) {
    return z4[(start >> 2u) + j];
  }
  let left = params.classes - 4u * j;
  let at = start + 4u * j;
  if (left >= 4u) {
    return vec4<f32>(z[at], z[at + 1u], z[at + 2u], z[at + 3u]);
  }
  var v = vec4<f32>(z[at], padding, padding, padding);
  if (left > 1u) {
    v.y = z[at + 1u];
  }
  if (left > 2u) {
    v.z = z[at + 2u];
  }
  return v;
}

// For all lanes of a row: the sum of a number.
fn share_sum(value: f32, local: u32, lane: u32) -> f32 {
  if (LANES == 1u) {
    return value;
  }
  var mine = value;
  shared_value[local] = mine;
  for (var stride = LANES / 2u; stride > 0u; stride /= 2u) {
    workgroupBarrier();
    if (lane < stride) {
      mine += shared_value[local + stride];
      shared_value[local] = mine;
    }
  }
  workgroupBarrier();
  let whole = shared_value[local - lane];
  // Nobody may overwrite what another lane has yet to read.
  workgroupBarrier();
  return whole;
}

// For all lanes of a row: the largest of a number.
fn share_max(value: f32, local: u32, lane: u32) -> f32 {
  if (LANES == 1u) {
    return value;
  }
  var mine = value;
  shared_value[local] = mine;
  for (var stride = LANES / 2u; stride > 0u; stride /= 2u) {
    workgroupBarrier();
    if (lane < stride) {
      mine = max(mine, shared_value[local + stride]);
      shared_value[local] = mine;
    }
  }
  workgroupBarrier();
  let whole = shared_value[local - lane];
  workgroupBarrier();
  return whole;
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let row = (wid.y * grid.x + wid.x) * (WORKGROUP / LANES) + local / LANES;
  let lane = local % LANES;
  let inside = row < params.rows;
  let start_x = select(0u, row * params.channels, inside);
  let start_z = select(0u, row * params.classes, inside);
  let groups_x = select(0u, (params.channels + 3u) >> 2u, inside);
  let groups_z = select(0u, (params.classes + 3u) >> 2u, inside);

  var magnitudes = vec4<f32>(0.0);
  var j = lane;
  while (j < groups_x) {
    let stop = min(groups_x, j + BLOCK * LANES);
    var block = vec4<f32>(0.0);
    for (; j < stop; j += LANES) {
      block += abs(group_x(start_x, j));
    }
    magnitudes += block;
  }
  let magnitude = share_sum(total(magnitudes), local, lane);

  var best = vec4<f32>(LOWEST);
  for (j = lane; j < groups_z; j += LANES) {
    best = max(best, group_z(start_z, j, LOWEST));
  }
  let top = share_max(largest(best), local, lane);

  var powers = vec4<f32>(0.0);
  j = lane;
  while (j < groups_z) {
    let stop = min(groups_z, j + BLOCK * LANES);
    var block = vec4<f32>(0.0);
    for (; j < stop; j += LANES) {
      block += exp(group_z(start_z, j, LOWEST) - top);
    }
    powers += block;
  }
  let scale = f32(params.classes) / share_sum(total(powers), local, lane);

  var gaps = vec4<f32>(0.0);
  j = lane;
  while (j < groups_z) {
    let stop = min(groups_z, j + BLOCK * LANES);
    var block = vec4<f32>(0.0);
    for (; j < stop; j += LANES) {
      let gap = abs(exp(group_z(start_z, j, LOWEST) - top) * scale - 1.0);
      let index = 4u * j + vec4<u32>(0u, 1u, 2u, 3u);
      block += select(vec4<f32>(0.0), gap, index < vec4<u32>(params.classes));
    }
    gaps += block;
  }
  let gap = share_sum(total(gaps), local, lane);
  if (inside && lane == 0u) {
    y[row] = magnitude * gap;
  }
}
