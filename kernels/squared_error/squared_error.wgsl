// Squared error of samples, and its gradient, in one read of both.
//
//   loss[r] = share * sum over j of w (x[r, j] - t[r, j])^2
//   dX[r, j] = 2 factor share w (x[r, j] - t[r, j])
//
// WEIGHTS 0: w = 1;  1: w = weights[r / slices];  2: w = weights[r, j]
//
// A sample may be cut into `slices` rows of one length.
//
// Shapes: x, t, dX: Elem[rows, columns], row-major; weights: f32[rows / slices] or Elem[rows, columns],
// not read where w = 1 (bind x again); loss: f32[rows].
// Dispatch: gridFor(rows, WORKGROUP / LANES); the grid folds x into y. LANES invocations share a row.
// Numerics: f32; the order of the sum depends on columns and LANES only.

override WORKGROUP: u32 = 8u; // invocations per workgroup
override LANES: u32 = 1u; // invocations per row, a power of two that divides WORKGROUP

alias Elem = vec4<f32>; // @spec
const WIDTH: u32 = 4u; // @spec
const WEIGHTS: u32 = 0u; // @spec

struct Params {
  rows: u32,
  columns: u32, // in units of Elem
  slices: u32,
  share: f32, // 1 / elements of a sample
  factor: f32,
}

@group(0) @binding(0) var<storage, read> x: array<Elem>;
@group(0) @binding(1) var<storage, read> t: array<Elem>;
@group(0) @binding(2) var<storage, read> sample_weights: array<f32>;
@group(0) @binding(3) var<storage, read> weights: array<Elem>;
@group(0) @binding(4) var<storage, read_write> loss: array<f32>;
@group(0) @binding(5) var<storage, read_write> dX: array<Elem>;
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
  var weight = Elem(1.0);
  if (WEIGHTS == 1u) { // @static
    weight = Elem(sample_weights[select(0u, row / params.slices, inside)]);
  }
  var sum = Elem(0.0);
  for (var j = lane; j < columns; j += LANES) {
    let apart = x[start + j] - t[start + j];
    if (WEIGHTS == 2u) { // @static
      weight = weights[start + j];
    }
    let weighted = weight * apart;
    sum += weighted * apart;
    dX[start + j] = (2.0 * params.factor * params.share) * weighted;
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
    loss[row] = state * params.share;
  }
}
