// Scales every row to Euclidean length one.
//
//   y[r, c] = x[r, c] / max(norm(x[r]), epsilon),  norm(v) = sqrt(sum over c of v[c]^2)
//
// A row of zeros stays zero.
//
// Shapes: x: f32[rows, columns], row-major, bound twice (scalars and vec4, the same memory);
// y: f32[rows, columns], bound as scalars (y) or as vec4 (y4), the other one a spare. columns >= 1.
// Dispatch: gridFor(rows, WORKGROUP / LANES); the grid folds x into y. LANES invocations share a
// row: 1 is the serial variant, WORKGROUP the tree variant. Two reads of x, one write of y.
// Numerics: f32, summed in blocks of BLOCK groups. Squares overflow above 1.8e19. The order of all
// sums depends on columns and LANES only.

override WORKGROUP: u32 = 8u; // invocations per workgroup
override LANES: u32 = 1u; // invocations per row, a power of two that divides WORKGROUP
override VECTOR: bool = true; // columns is a multiple of 4

const BLOCK = 64u; // groups of four

struct Params {
  rows: u32,
  columns: u32,
  epsilon: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> x4: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>; // !VECTOR
@group(0) @binding(3) var<storage, read_write> y4: array<vec4<f32>>; // VECTOR
@group(1) @binding(0) var<uniform> params: Params;

var<workgroup> shared_sum: array<f32, WORKGROUP>;

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

// The last one to three elements of a row.
fn store_rest(start: u32, v: vec4<f32>) {
  let at = start + (params.columns & ~3u);
  let count = params.columns & 3u;
  y[at] = v.x;
  if (count > 1u) {
    y[at + 1u] = v.y;
  }
  if (count > 2u) {
    y[at + 2u] = v.z;
  }
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
  var squares = vec4<f32>(0.0);
  var j = lane;
  while (j < groups) {
    let stop = min(groups, j + BLOCK * LANES);
    var block = vec4<f32>(0.0);
    for (; j < stop; j += LANES) {
      let v = group(start, j);
      block = fma(v, v, block);
    }
    squares += block;
  }
  if (owns_rest) {
    let v = rest(start, 0.0);
    squares = fma(v, v, squares);
  }
  var sum = total(squares);
  if (LANES > 1u) {
    shared_sum[local] = sum;
    for (var stride = LANES / 2u; stride > 0u; stride /= 2u) {
      workgroupBarrier();
      if (lane < stride) {
        sum += shared_sum[local + stride];
        shared_sum[local] = sum;
      }
    }
    workgroupBarrier();
    sum = shared_sum[local - lane];
  }
  let scale = 1.0 / max(sqrt(sum), params.epsilon);
  for (j = lane; j < groups; j += LANES) {
    store(start, j, group(start, j) * scale);
  }
  if (owns_rest) {
    store_rest(start, rest(start, 0.0) * scale);
  }
}
