// Reduces every row of a matrix to one number.
//
//   SUM      y[r] = sum over c of x[r, c]
//   MEAN     y[r] = SUM / columns
//   MAX      y[r] = max over c of x[r, c]
//   ARGMAX   y[r] = the lowest c whose x[r, c] is MAX
//   LSE      y[r] = T log(sum over c of exp(x[r, c] / T))
//   MSP      y[r] = the largest softmax(x[r] / T), which is 1 / sum over c of exp((x[r, c] - MAX) / T)
//
// Shapes: x: f32[rows, columns], row-major, bound twice (scalars and vec4, the same memory);
// y: [rows], f32 bits, or u32 for ARGMAX. columns >= 1.
// Dispatch: gridFor(rows, WORKGROUP / LANES); the grid folds x into y. LANES invocations share a
// row: 1 is the serial variant, WORKGROUP the tree variant, between them several short rows share a
// workgroup. One read of x.
// Numerics: f32. Sums run in blocks of BLOCK groups, which are then added, so that their error grows
// with the square root of the length and not with the length. Exponentials are shifted by a running
// maximum; 16 elements share one rescaling. The order of all sums depends on columns and LANES only.

override WORKGROUP: u32 = 8u; // invocations per workgroup
override LANES: u32 = 1u; // invocations per row, a power of two that divides WORKGROUP
override VECTOR: bool = true; // columns is a multiple of 4
override OPERATION: u32 = 0u;

const SUM = 0u;
const MEAN = 1u;
const MAX = 2u;
const ARGMAX = 3u;
const LSE = 4u;
const MSP = 5u;

const BLOCK = 64u; // groups of four
const LOWEST = -3.4028234e38;
const NO_INDEX = 0xffffffffu;

struct Params {
  rows: u32,
  columns: u32,
  temperature: f32,
}

struct State {
  value: f32, // sum or maximum
  weight: f32, // LSE, MSP: sum of exponentials relative to the maximum
  index: u32, // ARGMAX: where the maximum is
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> x4: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;
@group(1) @binding(0) var<uniform> params: Params;

var<workgroup> shared_state: array<State, WORKGROUP>;

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

fn largest(v: vec4<f32>) -> f32 {
  return max(max(v.x, v.y), max(v.z, v.w));
}

fn total(v: vec4<f32>) -> f32 {
  return (v.x + v.y) + (v.z + v.w);
}

fn sum_of(start: u32, lane: u32, owns_rest: bool) -> State {
  let groups = params.columns >> 2u;
  var sum = vec4<f32>(0.0);
  var j = lane;
  while (j < groups) {
    let stop = min(groups, j + BLOCK * LANES);
    var block = vec4<f32>(0.0);
    for (; j < stop; j += LANES) {
      block += group(start, j);
    }
    sum += block;
  }
  if (owns_rest) {
    sum += rest(start, 0.0);
  }
  return State(total(sum), 0.0, 0u);
}

fn max_of(start: u32, lane: u32, owns_rest: bool) -> State {
  let groups = params.columns >> 2u;
  let first = x[start];
  var best = vec4<f32>(first);
  for (var j = lane; j < groups; j += LANES) {
    best = max(best, group(start, j));
  }
  if (owns_rest) {
    best = max(best, rest(start, first));
  }
  return State(largest(best), 0.0, 0u);
}

fn argmax_of(start: u32, lane: u32, owns_rest: bool) -> State {
  let groups = params.columns >> 2u;
  let first = x[start];
  var best = vec4<f32>(first);
  var where_best = vec4<u32>(0u);
  for (var j = lane; j < groups; j += LANES) {
    let v = group(start, j);
    let better = v > best;
    best = select(best, v, better);
    where_best = select(where_best, 4u * j + vec4<u32>(0u, 1u, 2u, 3u), better);
  }
  if (owns_rest) {
    let v = rest(start, first);
    let better = v > best;
    best = select(best, v, better);
    where_best = select(where_best, 4u * groups + vec4<u32>(0u, 1u, 2u, 3u), better);
  }
  let value = largest(best);
  let here = select(vec4<u32>(NO_INDEX), where_best, best == vec4<f32>(value));
  return State(value, 0.0, min(min(here.x, here.y), min(here.z, here.w)));
}

fn log_sum_of(start: u32, lane: u32, owns_rest: bool) -> State {
  let groups = params.columns >> 2u;
  let scale = 1.0 / params.temperature;
  var top = LOWEST;
  var weight = 0.0;
  var j = lane;
  for (; j + 3u * LANES < groups; j += 4u * LANES) {
    let a = group(start, j);
    let b = group(start, j + LANES);
    let c = group(start, j + 2u * LANES);
    let d = group(start, j + 3u * LANES);
    let higher = max(top, largest(max(max(a, b), max(c, d))));
    let parts = exp((a - higher) * scale) + exp((b - higher) * scale) +
      exp((c - higher) * scale) + exp((d - higher) * scale);
    weight = weight * exp((top - higher) * scale) + total(parts);
    top = higher;
  }
  for (; j < groups; j += LANES) {
    let a = group(start, j);
    let higher = max(top, largest(a));
    weight = weight * exp((top - higher) * scale) + total(exp((a - higher) * scale));
    top = higher;
  }
  if (owns_rest) {
    let a = rest(start, LOWEST);
    let higher = max(top, largest(a));
    weight = weight * exp((top - higher) * scale) + total(exp((a - higher) * scale));
    top = higher;
  }
  return State(top, weight, 0u);
}

fn merge(a: State, b: State) -> State {
  switch OPERATION {
    case SUM, MEAN: {
      return State(a.value + b.value, 0.0, 0u);
    }
    case MAX: {
      return State(max(a.value, b.value), 0.0, 0u);
    }
    case ARGMAX: {
      if (a.value == b.value) {
        return State(a.value, 0.0, min(a.index, b.index));
      }
      if (b.value > a.value) {
        return b;
      }
      return a;
    }
    default: {
      let scale = 1.0 / params.temperature;
      let top = max(a.value, b.value);
      let weight = a.weight * exp((a.value - top) * scale) + b.weight * exp((b.value - top) * scale);
      return State(top, weight, 0u);
    }
  }
}

fn result(state: State) -> u32 {
  switch OPERATION {
    case MEAN: {
      return bitcast<u32>(state.value / f32(params.columns));
    }
    case ARGMAX: {
      return state.index;
    }
    case LSE: {
      return bitcast<u32>(state.value + params.temperature * log(state.weight));
    }
    case MSP: {
      return bitcast<u32>(1.0 / state.weight);
    }
    default: {
      return bitcast<u32>(state.value);
    }
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
  var state = State(0.0, 0.0, 0u);
  if (inside) {
    let start = row * params.columns;
    // The lane whose turn it would be takes the elements that make no group of four.
    let owns_rest = !VECTOR && (params.columns & 3u) != 0u && (params.columns >> 2u) % LANES == lane;
    switch OPERATION {
      case SUM, MEAN: {
        state = sum_of(start, lane, owns_rest);
      }
      case MAX: {
        state = max_of(start, lane, owns_rest);
      }
      case ARGMAX: {
        state = argmax_of(start, lane, owns_rest);
      }
      default: {
        state = log_sum_of(start, lane, owns_rest);
      }
    }
  }
  if (LANES > 1u) {
    shared_state[local] = state;
    for (var stride = LANES / 2u; stride > 0u; stride /= 2u) {
      workgroupBarrier();
      if (lane < stride) {
        state = merge(state, shared_state[local + stride]);
        shared_state[local] = state;
      }
    }
  }
  if (inside && lane == 0u) {
    y[row] = result(state);
  }
}
