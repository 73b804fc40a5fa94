// The direction in which the logits of a row lose confidence: the gradient of the cross-entropy
// between softmax(z / T) and the row's own largest logit, but for a positive factor.
//
//   t = the first of the largest logits,  dZ[t] = -1
//   dZ[j] = exp((z[j] - r) / T) / sum over i != t of exp((z[i] - r) / T), r the largest logit besides t
//
// The gradient itself is (1 - p[t]) / T times this, and lost to rounding where p[t] is close to one.
// A row of one logit has the gradient 0.
//
// Shapes: z, dZ: Elem[rows, columns], row-major.
// Dispatch: gridFor(rows, WORKGROUP / LANES); the grid folds x into y. LANES invocations share a row.
// Numerics: f32, shifted by r. Three reads of z, one write of dZ. The order of all sums depends on
// columns and LANES only.

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
  temperature: f32,
}

// The two largest of some logits, and where the first of the largest is.
struct Two {
  first: f32,
  second: f32,
  position: u32,
}

@group(0) @binding(0) var<storage, read> z: array<Elem>;
@group(0) @binding(1) var<storage, read_write> dZ: array<Elem>;
@group(1) @binding(0) var<uniform> params: Params;

var<workgroup> shared_two: array<Two, WORKGROUP>;
var<workgroup> shared_sum: array<f32, WORKGROUP>;

// All elements, each of them four times where there is one.
fn widen(v: Elem) -> vec4<f32> {
  return vec4<f32>(0.0) + v;
}

fn widen_index(v: Index) -> vec4<u32> {
  return vec4<u32>(0u) + v;
}

fn total(v: Elem) -> f32 {
  let w = widen(v);
  return select(w.x, (w.x + w.y) + (w.z + w.w), WIDTH == 4u);
}

fn both(a: Two, b: Two) -> Two {
  let ahead = a.first > b.first || (a.first == b.first && a.position < b.position);
  return Two(
    max(a.first, b.first),
    max(min(a.first, b.first), max(a.second, b.second)),
    select(b.position, a.position, ahead),
  );
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

  var first = Elem(LOWEST);
  var second = Elem(LOWEST);
  var position = Index(0xffffffffu);
  for (var j = lane; j < columns; j += LANES) {
    let v = z[start + j];
    second = max(second, min(first, v));
    position = select(position, Index(j * WIDTH) + OFFSETS, v > first);
    first = max(first, v);
  }
  let w = widen(first);
  let u = widen(second);
  let at = widen_index(position);
  var two = Two(w.x, u.x, at.x);
  if (WIDTH == 4u) { // @static
    two = both(
      both(two, Two(w.y, u.y, at.y)),
      both(Two(w.z, u.z, at.z), Two(w.w, u.w, at.w)),
    );
  }
  if (LANES > 1u) {
    shared_two[local] = two;
    for (var stride = LANES / 2u; stride > 0u; stride /= 2u) {
      workgroupBarrier();
      if (lane < stride) {
        two = both(two, shared_two[local + stride]);
        shared_two[local] = two;
      }
    }
    workgroupBarrier();
    two = shared_two[local - lane];
  }
  let own = Index(two.position);
  let rival = two.second;

  var mass = Elem(0.0);
  for (var j = lane; j < columns; j += LANES) {
    let part = exp((z[start + j] - rival) / params.temperature);
    mass += select(part, Elem(0.0), Index(j * WIDTH) + OFFSETS == own);
  }
  var sum = total(mass);
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
  let alone = sum == 0.0;
  let share = select(1.0 / sum, 0.0, alone);
  let fall = select(-1.0, 0.0, alone);
  for (var j = lane; j < columns; j += LANES) {
    let part = share * exp((z[start + j] - rival) / params.temperature);
    dZ[start + j] = select(part, Elem(fall), Index(j * WIDTH) + OFFSETS == own);
  }
}
