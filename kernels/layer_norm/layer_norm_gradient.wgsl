// The gradient of a layer normalisation with respect to its input, and each row's statistics.
//
//   g = dY[r] weight,  h = (x[r] - mean) scale,  scale = 1 / sqrt(variance + epsilon)
//   dX[r] = scale (g - mean(g) - h mean(g h))
//   stats[r] = (x[r, 0], mean - x[r, 0], scale, 0)
//
// Shapes: x, dY, dX: Elem[rows, columns], row-major; weight: Elem[columns], read where HAS_WEIGHT is 1;
// stats: vec4<f32>[rows], written where STATS is 1.
// Dispatch: gridFor(rows, WORKGROUP / LANES); the grid folds x into y. LANES invocations share a row.
// Numerics: f32. Three reads of x and two of dY: mean, then variance and both sums of g relative to it,
// then the result. Everything is relative to the row's first element, so that a large mean costs no
// digits. The order of all sums depends on columns and LANES only.

override WORKGROUP: u32 = 8u; // invocations per workgroup
override LANES: u32 = 1u; // invocations per row, a power of two that divides WORKGROUP

alias Elem = vec4<f32>; // @spec
const WIDTH: u32 = 4u; // @spec
const HAS_WEIGHT: u32 = 1u; // @spec
const STATS: u32 = 1u; // @spec

struct Params {
  rows: u32,
  columns: u32, // in units of Elem
  epsilon: f32,
}

@group(0) @binding(0) var<storage, read> x: array<Elem>;
@group(0) @binding(1) var<storage, read> dY: array<Elem>;
@group(0) @binding(2) var<storage, read> weight: array<Elem>;
@group(0) @binding(3) var<storage, read_write> dX: array<Elem>;
@group(0) @binding(4) var<storage, read_write> stats: array<vec4<f32>>;
@group(1) @binding(0) var<uniform> params: Params;

var<workgroup> shared_sums: array<vec3<f32>, WORKGROUP>;

// All elements, each of them four times where there is one.
fn widen(v: Elem) -> vec4<f32> {
  return vec4<f32>(0.0) + v;
}

fn total(v: Elem) -> f32 {
  let w = widen(v);
  return select(w.x, (w.x + w.y) + (w.z + w.w), WIDTH == 4u);
}

fn scaled(i: u32, j: u32) -> Elem {
  if (HAS_WEIGHT == 1u) { // @static
    return dY[i] * weight[j];
  }
  return dY[i];
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
  let columns = select(0u, params.columns, inside);
  let share = 1.0 / f32(params.columns * WIDTH);
  let origin = widen(x[start]).x;
  var sum = Elem(0.0);
  for (var j = lane; j < columns; j += LANES) {
    sum += x[start + j] - origin;
  }
  var sums = vec3<f32>(total(sum), 0.0, 0.0);
  if (LANES > 1u) {
    shared_sums[local] = sums;
    for (var stride = LANES / 2u; stride > 0u; stride /= 2u) {
      workgroupBarrier();
      if (lane < stride) {
        sums += shared_sums[local + stride];
        shared_sums[local] = sums;
      }
    }
    workgroupBarrier();
    sums = shared_sums[local - lane];
    workgroupBarrier();
  }
  let mean = sums.x * share;

  var deviations = Elem(0.0);
  var gradients = Elem(0.0);
  var products = Elem(0.0);
  for (var j = lane; j < columns; j += LANES) {
    let d = (x[start + j] - origin) - mean;
    let g = scaled(start + j, j);
    deviations = fma(d, d, deviations);
    gradients += g;
    products = fma(d, g, products);
  }
  sums = vec3<f32>(total(deviations), total(gradients), total(products));
  if (LANES > 1u) {
    shared_sums[local] = sums;
    for (var stride = LANES / 2u; stride > 0u; stride /= 2u) {
      workgroupBarrier();
      if (lane < stride) {
        sums += shared_sums[local + stride];
        shared_sums[local] = sums;
      }
    }
    workgroupBarrier();
    sums = shared_sums[local - lane];
  }
  sums *= share;
  let scale = 1.0 / sqrt(sums.x + params.epsilon);
  let slope = sums.z * scale * scale;
  for (var j = lane; j < columns; j += LANES) {
    let d = (x[start + j] - origin) - mean;
    dX[start + j] = (scaled(start + j, j) - sums.y - d * slope) * scale;
  }
  if (STATS == 1u) { // @static
    if (inside && lane == 0u) {
      stats[row] = vec4<f32>(origin, mean, scale, 0.0);
    }
  }
}
