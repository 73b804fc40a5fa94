// Mean squared distance of every row to the centre of its class, and its gradient.
//
//   loss[r] = share sum over j of (z[r, j] - centres[labels[r], j])^2
//   dZ[r, j] = 2 factor share (z[r, j] - centres[labels[r], j])
//
// A row whose label is no class has loss and gradient 0.
//
// Shapes: z, dZ: Elem[rows, columns], row-major; centres: Elem[classes, columns]; labels: i32[rows];
// loss: f32[rows].
// Dispatch: gridFor(rows, WORKGROUP / LANES); the grid folds x into y. LANES invocations share a row.
// Numerics: f32. One read of z and of a centre, one write of dZ. The order of the sum depends on
// columns and LANES only.

override WORKGROUP: u32 = 8u; // invocations per workgroup
override LANES: u32 = 1u; // invocations per row, a power of two that divides WORKGROUP

alias Elem = vec4<f32>; // @spec
const WIDTH: u32 = 4u; // @spec

struct Params {
  rows: u32,
  columns: u32, // in units of Elem
  classes: u32,
  share: f32,
  factor: f32,
}

@group(0) @binding(0) var<storage, read> z: array<Elem>;
@group(0) @binding(1) var<storage, read> centres: array<Elem>;
@group(0) @binding(2) var<storage, read> labels: array<i32>;
@group(0) @binding(3) var<storage, read_write> loss: array<f32>;
@group(0) @binding(4) var<storage, read_write> dZ: array<Elem>;
@group(1) @binding(0) var<uniform> params: Params;

var<workgroup> sums: array<f32, WORKGROUP>;

// The sum of all elements; each of them is there four times where there is one.
fn total(v: Elem) -> f32 {
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
  let given = labels[select(0u, row, inside)];
  let counts = given >= 0 && given < i32(params.classes);
  let centre = select(0u, u32(given), counts) * params.columns;
  let factor = 2.0 * params.factor * params.share;
  var sum = Elem(0.0);
  for (var j = lane; j < columns; j += LANES) {
    let away = select(Elem(0.0), z[start + j] - centres[centre + j], counts);
    sum = fma(away, away, sum);
    dZ[start + j] = factor * away;
  }
  var state = total(sum);
  if (LANES > 1u) {
    sums[local] = state;
    for (var stride = LANES / 2u; stride > 0u; stride /= 2u) {
      workgroupBarrier();
      if (lane < stride) {
        state += sums[local + stride];
        sums[local] = state;
      }
    }
  }
  if (inside && lane == 0u) {
    loss[row] = params.share * state;
  }
}
