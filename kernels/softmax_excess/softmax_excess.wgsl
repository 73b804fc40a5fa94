// How far the largest softmax of every row lies above chance, at a temperature T.
//
//   y[r] = T (1 - 1 / (columns * p[r])),  p[r] = max over c of softmax(x[r] / T)
//        = mean over c of -T expm1((x[r, c] - MAX) / T)
//
// which grows with p, is 0 for equal elements, and goes to MAX - MEAN as T grows.
//
// Shapes: x: f32[rows, columns], row-major, bound twice (scalars and vec4, the same memory);
// y: f32[rows]. columns >= 1, T > 0.
// Dispatch: gridFor(rows, WORKGROUP / LANES); the grid folds x into y. LANES invocations share a
// row: 1 is the serial variant, WORKGROUP the tree variant. Two reads of x.
// Numerics: f32. At T = 1000 all probabilities lie within a few percent of 1 / columns, where f32 has
// seven digits for the number and five for what tells rows apart; -expm1 of each difference, by its
// series near zero, keeps all seven. The order of all sums depends on columns and LANES only.
// Source: Liang et al., "Enhancing the reliability of out-of-distribution image detection in neural
// networks", 2018 (the score p at T = 1000).

override WORKGROUP: u32 = 8u; // invocations per workgroup
override LANES: u32 = 1u; // invocations per row, a power of two that divides WORKGROUP
override VECTOR: bool = true; // columns is a multiple of 4

const BLOCK = 64u; // groups of four
const LOWEST = -3.4028234e38;

struct Params {
  rows: u32,
  columns: u32,
  temperature: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> x4: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

var<workgroup> shared_value: array<f32, WORKGROUP>;

// Four neighbours of a row that begins at element `start`.
fn group(start: u32, j: u32) -> vec4<f32> {
  if (VECTOR) {
    return x4[(start >> 2u) + j];
  }
  let at = start + 4u * j;
  return vec4<f32>(x[at], x[at + 1u], x[at + 2u], x[at + 3u]);
}

// The last one to three elements of a row, filled up with `padding`.
fn rest(start: u32, padding: f32) -> vec4<f32> {
  let at = start + (params.columns & ~3u);
  let count = params.columns & 3u;
  var v = vec4<f32>(x[at], padding, padding, padding);
  if (count > 1u) {
    v.y = x[at + 1u];
  }
  if (count > 2u) {
    v.z = x[at + 2u];
  }
  return v;
}

fn largest(v: vec4<f32>) -> f32 {
  return max(max(v.x, v.y), max(v.z, v.w));
}

fn total(v: vec4<f32>) -> f32 {
  return (v.x + v.y) + (v.z + v.w);
}

// 1 - exp(-d) for d >= 0: seven terms of its series up to one half.
fn fall(d: vec4<f32>) -> vec4<f32> {
  var series = 1.0 - d * (1.0 / 7.0);
  series = 1.0 - d * (1.0 / 6.0) * series;
  series = 1.0 - d * (1.0 / 5.0) * series;
  series = 1.0 - d * (1.0 / 4.0) * series;
  series = 1.0 - d * (1.0 / 3.0) * series;
  series = 1.0 - d * (1.0 / 2.0) * series;
  return select(d * series, 1.0 - exp(-d), d > vec4<f32>(0.5));
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
  let start = select(0u, row * params.columns, inside);
  let groups = select(0u, params.columns >> 2u, inside);
  // The lane whose turn it would be takes the elements that make no group of four.
  let owns_rest = inside && !VECTOR && (params.columns & 3u) != 0u && groups % LANES == lane;
  var best = vec4<f32>(LOWEST);
  for (var j = lane; j < groups; j += LANES) {
    best = max(best, group(start, j));
  }
  if (owns_rest) {
    best = max(best, rest(start, LOWEST));
  }
  var top = largest(best);
  if (LANES > 1u) {
    shared_value[local] = top;
    for (var stride = LANES / 2u; stride > 0u; stride /= 2u) {
      workgroupBarrier();
      if (lane < stride) {
        top = max(top, shared_value[local + stride]);
        shared_value[local] = top;
      }
    }
    workgroupBarrier();
    top = shared_value[local - lane];
    // Nobody may overwrite what another lane has yet to read.
    workgroupBarrier();
  }

  let scale = 1.0 / params.temperature;
  var falls = vec4<f32>(0.0);
  var j = lane;
  while (j < groups) {
    let stop = min(groups, j + BLOCK * LANES);
    var block = vec4<f32>(0.0);
    for (; j < stop; j += LANES) {
      block += fall((top - group(start, j)) * scale);
    }
    falls += block;
  }
  if (owns_rest) {
    falls += fall((top - rest(start, top)) * scale);
  }
  var sum = total(falls);
  if (LANES > 1u) {
    shared_value[local] = sum;
    for (var stride = LANES / 2u; stride > 0u; stride /= 2u) {
      workgroupBarrier();
      if (lane < stride) {
        sum += shared_value[local + stride];
        shared_value[local] = sum;
      }
    }
  }
  if (inside && lane == 0u) {
    y[row] = params.temperature * sum / f32(params.columns);
  }
}
