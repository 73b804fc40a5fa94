// The norm of every row of a matrix.
//
//   y[r] = sqrt(sum over c of x[r, c]^2)
//
// Shapes: x: f32[rows, columns], row-major, bound twice (scalars and vec4, the same memory);
// y: f32[rows]. columns >= 1.
// Dispatch: gridFor(rows, WORKGROUP / LANES); the grid folds x into y. LANES invocations share a
// row: 1 is the serial variant, WORKGROUP the tree variant. One read of x.
// Accumulator: f32, four sums side by side; the order depends on columns and LANES only.

override WORKGROUP: u32 = 8u; // invocations per workgroup
override LANES: u32 = 1u; // invocations per row, a power of two that divides WORKGROUP
override VECTOR: bool = true; // columns is a multiple of 4

struct Params {
  rows: u32,
  columns: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> x4: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

var<workgroup> sums: array<f32, WORKGROUP>;

// Four neighbours of a row that begins at element `start`.
fn group(start: u32, j: u32) -> vec4<f32> {
  if (VECTOR) {
    return x4[(start >> 2u) + j];
  }
  let at = start + 4u * j;
  return vec4<f32>(x[at], x[at + 1u], x[at + 2u], x[at + 3u]);
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
  var squares = vec4<f32>(0.0);
  for (var j = lane; j < groups; j += LANES) {
    let v = group(start, j);
    squares = fma(v, v, squares);
  }
  // The lane whose turn it would be takes the elements that make no group of four.
  if (inside && !VECTOR && groups % LANES == lane) {
    for (var c = params.columns & ~3u; c < params.columns; c++) {
      squares.x = fma(x[start + c], x[start + c], squares.x);
    }
  }
  var sum = (squares.x + squares.y) + (squares.z + squares.w);
  if (LANES > 1u) {
    sums[local] = sum;
    for (var stride = LANES / 2u; stride > 0u; stride /= 2u) {
      workgroupBarrier();
      if (lane < stride) {
        sum += sums[local + stride];
        sums[local] = sum;
      }
    }
  }
  if (inside && lane == 0u) {
    y[row] = sqrt(sum);
  }
}
