// Softmax, cross-entropy, its gradient and whether the largest logit is the label's, of every row.
// Probabilities are never written.
//
//   p = softmax(z),  t[j] = (1 - smoothing) [j = label] + smoothing / classes
//   loss = -sum over j of t[j] log p[j]
//   dZ[j] = factor (p[j] - t[j])
//   correct = 1 where z[label] is the largest logit, and the first one of those as large; else 0
//
// A row whose label is `ignored` or no class has loss, gradient and correct 0.
//
// Shapes: z, dZ: Elem[rows, columns], row-major; labels: i32[rows]; loss, correct: f32[rows].
// Dispatch: gridFor(rows, WORKGROUP / LANES); the grid folds x into y. LANES invocations share a row.
// Numerics: f32, shifted by the row's maximum. Three reads of z, one write of dZ. The order of all
// sums depends on columns and LANES only.

override WORKGROUP: u32 = 8u; // invocations per workgroup
override LANES: u32 = 1u; // invocations per row, a power of two that divides WORKGROUP

alias Elem = vec4<f32>; // @spec
alias Index = vec4<u32>; // @spec
const WIDTH: u32 = 4u; // @spec
const OFFSETS: Index = vec4<u32>(0u, 1u, 2u, 3u); // @spec

const LOWEST = -3.4028234e38;

struct Params {
  rows: u32,
  columns: u32, // in units of Elem
  ignored: i32,
  smoothing: f32,
  factor: f32,
}

@group(0) @binding(0) var<storage, read> z: array<Elem>;
@group(0) @binding(1) var<storage, read> labels: array<i32>;
@group(0) @binding(2) var<storage, read_write> loss: array<f32>;
@group(0) @binding(3) var<storage, read_write> correct: array<f32>;
@group(0) @binding(4) var<storage, read_write> dZ: array<Elem>;
@group(1) @binding(0) var<uniform> params: Params;

var<workgroup> shared_state: array<vec2<f32>, WORKGROUP>;

// All elements, each of them four times where there is one.
fn widen(v: Elem) -> vec4<f32> {
  return vec4<f32>(0.0) + v;
}

fn total(v: Elem) -> f32 {
  let w = widen(v);
  return select(w.x, (w.x + w.y) + (w.z + w.w), WIDTH == 4u);
}

fn largest(v: Elem) -> f32 {
  let w = widen(v);
  return max(max(w.x, w.y), max(w.z, w.w));
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
  let classes = params.columns * WIDTH;
  let given = labels[select(0u, row, inside)];
  let counts = given >= 0 && given < i32(classes) && given != params.ignored;
  let label = select(0u, u32(given), counts);
  let own = widen(z[start + label / WIDTH])[label % WIDTH];

  // The maximum, and whether an element comes before the label's.
  var top = Elem(LOWEST);
  var beaten = false;
  for (var j = lane; j < columns; j += LANES) {
    let v = z[start + j];
    top = max(top, v);
    let earlier = Index(j * WIDTH) + OFFSETS < Index(label);
    beaten = beaten || any((v > Elem(own)) | ((v == Elem(own)) & earlier));
  }
  var state = vec2<f32>(largest(top), select(0.0, 1.0, beaten));
  if (LANES > 1u) {
    shared_state[local] = state;
    for (var stride = LANES / 2u; stride > 0u; stride /= 2u) {
      workgroupBarrier();
      if (lane < stride) {
        state = max(state, shared_state[local + stride]);
        shared_state[local] = state;
      }
    }
    workgroupBarrier();
    state = shared_state[local - lane];
    workgroupBarrier();
  }
  let highest = state.x;
  let wrong = state.y;

  // The mass, and the sum of all logits, relative to the maximum.
  var mass = Elem(0.0);
  var depth = Elem(0.0);
  for (var j = lane; j < columns; j += LANES) {
    let v = z[start + j] - highest;
    mass += exp(v);
    depth += v;
  }
  state = vec2<f32>(total(mass), total(depth));
  if (LANES > 1u) {
    shared_state[local] = state;
    for (var stride = LANES / 2u; stride > 0u; stride /= 2u) {
      workgroupBarrier();
      if (lane < stride) {
        state += shared_state[local + stride];
        shared_state[local] = state;
      }
    }
    workgroupBarrier();
    state = shared_state[local - lane];
  }
  let spread = params.smoothing / f32(classes);
  let hit = 1.0 - params.smoothing;
  if (inside && lane == 0u) {
    let value = log(state.x) - hit * (own - highest) - spread * state.y;
    loss[row] = select(0.0, value, counts);
    correct[row] = select(0.0, 1.0 - wrong, counts);
  }
  let factor = select(0.0, params.factor, counts);
  let share = 1.0 / state.x;
  for (var j = lane; j < columns; j += LANES) {
    let aim = select(Elem(spread), Elem(spread + hit), Index(j * WIDTH) + OFFSETS == Index(label));
    dZ[start + j] = factor * (exp(z[start + j] - highest) * share - aim);
  }
}
