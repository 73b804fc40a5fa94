// Layer normalisation of every row.
//
//   y[r, c] = (x[r, c] - mean(x[r])) / sqrt(variance(x[r]) + epsilon) * weight[c] + bias[c]
//
// with the variance over all columns (divided by their number).
//
// Shapes: x: f32[rows, columns], row-major; weight, bias: f32[columns], each bound twice (scalars and
// vec4, the same memory); y: f32[rows, columns], bound as scalars (y) or as vec4 (y4), the other one
// a spare. columns >= 1. Without HAS_WEIGHT or HAS_BIAS their bindings are not read.
// Dispatch: gridFor(rows, WORKGROUP / LANES); the grid folds x into y. LANES invocations share a
// row: 1 is the serial variant, WORKGROUP the tree variant. Two reads of x, one write of y.
// Numerics: f32. Everything is relative to the row's first element, so that a large mean costs no
// digits. Blocks of 16 elements get their mean and squared deviations from registers in two passes
// and are merged as Chan, Golub and LeVeque do ("Updating formulae and a pairwise algorithm for
// computing sample variances", 1979): as exact as two reads, at the price of one. The order of all
// sums depends on columns and LANES only.

override WORKGROUP: u32 = 8u; // invocations per workgroup
override LANES: u32 = 1u; // invocations per row, a power of two that divides WORKGROUP
override VECTOR: bool = true; // columns is a multiple of 4
override HAS_WEIGHT: bool = true;
override HAS_BIAS: bool = true;

struct Params {
  rows: u32,
  columns: u32,
  epsilon: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> x4: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read> weight4: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> bias: array<f32>;
@group(0) @binding(5) var<storage, read> bias4: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> y: array<f32>; // !VECTOR
@group(0) @binding(7) var<storage, read_write> y4: array<vec4<f32>>; // VECTOR
@group(1) @binding(0) var<uniform> params: Params;

// Of some elements: how many, their mean, and the sum of their squared deviations from it.
struct Moments {
  count: f32,
  mean: f32,
  deviations: f32,
}

var<workgroup> shared_moments: array<Moments, WORKGROUP>;

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

fn total(v: vec4<f32>) -> f32 {
  return (v.x + v.y) + (v.z + v.w);
}

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

fn of_four(v: vec4<f32>) -> Moments {
  let mean = total(v) * 0.25;
  let d = v - mean;
  return Moments(4.0, mean, dot(d, d));
}

// The last one to three elements of a row.
fn of_rest(start: u32, origin: f32) -> Moments {
  let count = params.columns & 3u;
  let v = rest(start, origin) - origin;
  let mean = total(v) / f32(count);
  let d = select(vec4<f32>(0.0), v - mean, vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(count));
  return Moments(f32(count), mean, dot(d, d));
}

fn gain(j: u32) -> vec4<f32> {
  if (!HAS_WEIGHT) {
    return vec4<f32>(1.0);
  }
  if (VECTOR) {
    return weight4[j];
  }
  return vec4<f32>(weight[4u * j], weight[4u * j + 1u], weight[4u * j + 2u], weight[4u * j + 3u]);
}

fn offset(j: u32) -> vec4<f32> {
  if (!HAS_BIAS) {
    return vec4<f32>(0.0);
  }
  if (VECTOR) {
    return bias4[j];
  }
  return vec4<f32>(bias[4u * j], bias[4u * j + 1u], bias[4u * j + 2u], bias[4u * j + 3u]);
}

fn store(start: u32, j: u32, v: vec4<f32>) {
  if (VECTOR) {
    y4[(start >> 2u) + j] = v;
    return;
  }
  let at = start + 4u * j;
  y[at] = v.x;
  y[at + 1u] = v.y;
  y[at + 2u] = v.z;
  y[at + 3u] = v.w;
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
  let origin = x[start];
  var moments = Moments(0.0, 0.0, 0.0);
  var j = lane;
  for (; j + 3u * LANES < groups; j += 4u * LANES) {
    let a = group(start, j) - origin;
    let b = group(start, j + LANES) - origin;
    let c = group(start, j + 2u * LANES) - origin;
    let d = group(start, j + 3u * LANES) - origin;
    let mean = total((a + b) + (c + d)) * 0.0625;
    let da = a - mean;
    let db = b - mean;
    let dc = c - mean;
    let dd = d - mean;
    let deviations = total(fma(da, da, fma(db, db, fma(dc, dc, dd * dd))));
    moments = merge(moments, Moments(16.0, mean, deviations));
  }
  for (; j < groups; j += LANES) {
    moments = merge(moments, of_four(group(start, j) - origin));
  }
  if (owns_rest) {
    moments = merge(moments, of_rest(start, origin));
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
  let scale = 1.0 / sqrt(moments.deviations / f32(params.columns) + params.epsilon);
  for (j = lane; j < groups; j += LANES) {
    let centred = (group(start, j) - origin) - moments.mean;
    store(start, j, fma(centred * scale, gain(j), offset(j)));
  }
  if (owns_rest) {
    for (var c = params.columns & ~3u; c < params.columns; c++) {
      var value = ((x[start + c] - origin) - moments.mean) * scale;
      if (HAS_WEIGHT) {
        value *= weight[c];
      }
      if (HAS_BIAS) {
        value += bias[c];
      }
      y[start + c] = value;
    }
  }
}
