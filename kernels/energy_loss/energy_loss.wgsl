// The energy of a row of logits, a loss of it that says how far from a margin it is, and the loss's
// gradient by the logits.
//
//   E = T log sum_j exp(z[j] / T),   p = softmax(z / T),   confidence = max p
//   KIND 0 (hinge):    L = max(E - margin, 0),    dZ[j] = p[j] where E > margin, else 0
//   KIND 1 (squared):  L = max(E - margin, 0)^2,  dZ[j] = 2 max(E - margin, 0) p[j]
//   KIND 2 (literal):  L = margin - E,            dZ[j] = -p[j]
//   KIND 3 (spread):   L = (E - mean(z) - margin)^2,  dZ[j] = 2 (E - mean(z) - margin) (p[j] - 1 / K)
//
// Shapes: z, dZ: Elem[rows, columns], row-major; loss, energy, confidence: f32[rows].
// Dispatch: gridFor(rows, WORKGROUP / LANES); the grid folds x into y. LANES invocations share a row.
// Numerics: f32, shifted by the row's maximum. Three reads of z, one write of dZ. The order of all sums
// depends on columns and LANES only.
// Source: Li et al., "Synthesizing Near-Boundary OOD Samples", equation 7, and its authors' code; Liu
// et al., "Energy-based Out-of-distribution Detection", 2020.

override WORKGROUP: u32 = 8u; // invocations per workgroup
override LANES: u32 = 1u; // invocations per row, a power of two that divides WORKGROUP

alias Elem = vec4<f32>; // @spec
const WIDTH: u32 = 4u; // @spec
const KIND: u32 = 0u; // @spec

const LOWEST = -3.4028234e38;

struct Params {
  rows: u32,
  columns: u32, // in units of Elem
  temperature: f32,
  margin: f32,
}

@group(0) @binding(0) var<storage, read> z: array<Elem>;
@group(0) @binding(1) var<storage, read_write> loss: array<f32>;
@group(0) @binding(2) var<storage, read_write> energy: array<f32>;
@group(0) @binding(3) var<storage, read_write> confidence: array<f32>;
@group(0) @binding(4) var<storage, read_write> dZ: array<Elem>;
@group(1) @binding(0) var<uniform> params: Params;

var<workgroup> shared_max: array<f32, WORKGROUP>;
var<workgroup> shared_sums: array<vec2<f32>, WORKGROUP>;

// All elements, each of them four times where there is one.
fn widen(v: Elem) -> vec4<f32> {
  return vec4<f32>(0.0) + v;
}

fn total(v: Elem) -> f32 {
  let w = widen(v);
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

  var most = Elem(LOWEST);
  for (var j = lane; j < columns; j += LANES) {
    most = max(most, z[start + j]);
  }
  let w = widen(most);
  var top = max(max(w.x, w.y), max(w.z, w.w));
  if (LANES > 1u) {
    shared_max[local] = top;
    for (var stride = LANES / 2u; stride > 0u; stride /= 2u) {
      workgroupBarrier();
      if (lane < stride) {
        top = max(top, shared_max[local + stride]);
        shared_max[local] = top;
      }
    }
    workgroupBarrier();
    top = shared_max[local - lane];
  }

  // The mass of the exponentials, and the sum of what the logits lie below the maximum.
  var mass = Elem(0.0);
  var below = Elem(0.0);
  for (var j = lane; j < columns; j += LANES) {
    let d = z[start + j] - top;
    mass += exp(d / params.temperature);
    below += d;
  }
  var sums = vec2<f32>(total(mass), total(below));
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
  if (inside) {
    let classes = f32(columns * WIDTH);
    let over = params.temperature * log(sums.x);
    let level = top + over;
    var value = 0.0; // the loss
    var slope = 0.0; // dZ = slope p + base
    var base = 0.0;
    if (KIND == 0u) { // @static
      value = max(level - params.margin, 0.0);
      slope = select(0.0, 1.0, level > params.margin);
    }
    if (KIND == 1u) { // @static
      let excess = max(level - params.margin, 0.0);
      value = excess * excess;
      slope = 2.0 * excess;
    }
    if (KIND == 2u) { // @static
      value = params.margin - level;
      slope = -1.0;
    }
    if (KIND == 3u) { // @static
      let excess = (over - sums.y / classes) - params.margin;
      value = excess * excess;
      slope = 2.0 * excess;
      base = -slope / classes;
    }
    if (lane == 0u) {
      loss[row] = value;
      energy[row] = level;
      confidence[row] = 1.0 / sums.x;
    }
    let share = slope / sums.x;
    for (var j = lane; j < columns; j += LANES) {
      dZ[start + j] = share * exp((z[start + j] - top) / params.temperature) + Elem(base);
    }
  }
}
