// Sigmoid, binary cross-entropy of every label of every row, and its gradient. Probabilities are never
// written.
//
//   loss[r] = mean over j of (1 - t) softplus(z) + w t softplus(-z), t = targets[r, j], w = weights[j]
//   dZ[r, j] = factor ((1 - t) sigmoid(z) - w t sigmoid(-z)) / number of labels
//
// Shapes: z, targets, dZ: Elem[rows, columns], row-major; weights: Elem[columns]; loss: f32[rows].
// Without WEIGHTED the weights are 1 and not read (bind z again).
// Dispatch: gridFor(rows, WORKGROUP / LANES); the grid folds x into y. LANES invocations share a row.
// Numerics: f32. Both sides of the sigmoid come from exp(-|z|) <= 1, without a difference of numbers
// that are alike, so that small gradients keep their digits. One read of z and of the targets, one
// write of dZ. The order of the sum depends on columns and LANES only.

override WORKGROUP: u32 = 8u; // invocations per workgroup
override LANES: u32 = 1u; // invocations per row, a power of two that divides WORKGROUP

alias Elem = vec4<f32>; // @spec
const WIDTH: u32 = 4u; // @spec
const WEIGHTED: u32 = 0u; // @spec

struct Params {
  rows: u32,
  columns: u32, // in units of Elem
  factor: f32,
}

@group(0) @binding(0) var<storage, read> z: array<Elem>;
@group(0) @binding(1) var<storage, read> targets: array<Elem>;
@group(0) @binding(2) var<storage, read> weights: array<Elem>;
@group(0) @binding(3) var<storage, read_write> loss: array<f32>;
@group(0) @binding(4) var<storage, read_write> dZ: array<Elem>;
@group(1) @binding(0) var<uniform> params: Params;

var<workgroup> sums: array<f32, WORKGROUP>;

// The sum of all elements; each of them is there four times where there is one.
fn total(v: Elem) -> f32 {
  let w = vec4<f32>(0.0) + v;
  return select(w.x, (w.x + w.y) + (w.z + w.w), WIDTH == 4u);
}

// log(1 + e) for 0 <= e <= 1, as a series where 1 + e would lose the digits of e.
fn log_of_one_and(e: Elem) -> Elem {
  let series = e * (1.0 - e * (0.5 - e * (0.33333334 - 0.25 * e)));
  return select(log(1.0 + e), series, e < Elem(0.01));
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
  let factor = params.factor * share;
  var sum = Elem(0.0);
  for (var j = lane; j < columns; j += LANES) {
    let v = z[start + j];
    let positive = targets[start + j];
    var wanted = positive;
    if (WEIGHTED == 1u) { // @static
      wanted *= weights[j];
    }
    let unwanted = 1.0 - positive;
    let e = exp(-abs(v));
    let small = log_of_one_and(e);
    sum += unwanted * (max(v, Elem(0.0)) + small) + wanted * (max(-v, Elem(0.0)) + small);
    let far = e / (1.0 + e);
    let near = 1.0 / (1.0 + e);
    let up = select(far, near, v >= Elem(0.0));
    let down = select(near, far, v >= Elem(0.0));
    dZ[start + j] = factor * (unwanted * up - wanted * down);
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
    loss[row] = state * share;
  }
}
