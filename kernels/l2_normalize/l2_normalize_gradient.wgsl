// The gradient of rows scaled to length one, y = x / n with n = max(norm(x), epsilon).
//
//   dX[r] = (dY[r] - y (y . dY[r])) / n where norm(x[r]) > epsilon, else dY[r] / epsilon
//
// Shapes: x, dY, dX: Elem[rows, columns], row-major.
// Dispatch: gridFor(rows, WORKGROUP / LANES); the grid folds x into y. LANES invocations share a row.
// Numerics: f32; squares overflow above 1.8e19. Two reads of x and dY. The order of all sums depends on
// columns and LANES only.

override WORKGROUP: u32 = 8u; // invocations per workgroup
override LANES: u32 = 1u; // invocations per row, a power of two that divides WORKGROUP

alias Elem = vec4<f32>; // @spec
const WIDTH: u32 = 4u; // @spec

struct Params {
  rows: u32,
  columns: u32, // in units of Elem
  epsilon: f32,
}

@group(0) @binding(0) var<storage, read> x: array<Elem>;
@group(0) @binding(1) var<storage, read> dY: array<Elem>;
@group(0) @binding(2) var<storage, read_write> dX: array<Elem>;
@group(1) @binding(0) var<uniform> params: Params;

var<workgroup> shared_sums: array<vec2<f32>, WORKGROUP>;

fn total(v: Elem) -> f32 {
  // All elements, each of them four times where there is one.
  let w = vec4<f32>(0.0) + v;
  return select(w.x, (w.x + w.y) + (w.z + w.w), WIDTH == 4u);
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
  var squares = Elem(0.0);
  var products = Elem(0.0);
  for (var j = lane; j < columns; j += LANES) {
    let v = x[start + j];
    squares = fma(v, v, squares);
    products = fma(v, dY[start + j], products);
  }
  var sums = vec2<f32>(total(squares), total(products));
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
  let norm = sqrt(sums.x);
  let scale = 1.0 / max(norm, params.epsilon);
  let along = select(0.0, sums.y * scale * scale, norm > params.epsilon);
  for (var j = lane; j < columns; j += LANES) {
    dX[start + j] = fma(x[start + j], Elem(-along), dY[start + j]) * scale;
  }
}
