// Generalised entropy of the softmax of every row, over its largest probabilities.
//
//   y[r] = -sum over the `count` largest p of p^gamma (1 - p)^gamma,  p = softmax(x[r]),  0^gamma = 0
//
// Shapes: x: f32[rows, columns], row-major, bound twice (scalars and vec4, the same memory);
// y: f32[rows]. 1 <= count <= columns, gamma > 0.
// Dispatch: gridFor(rows, WORKGROUP / LANES); the grid folds x into y. LANES invocations share a
// row: 1 is the serial variant, WORKGROUP the tree variant. Three reads of x; when count < columns up
// to sixteen more, which find the count-th largest element exactly, two bits of its order-preserving
// key per read, and stop early once a bound has exactly `count` elements above it.
// Numerics: f32 in the logarithm, exp(gamma (log p + log(1 - p))), so that a probability that would
// underflow still counts. The largest probability's 1 - p comes from the sum of the others relative
// to the second largest element: 1 - p itself would lose all digits for a confident row. Elements
// equal to the count-th largest are counted, not chosen, so their order does not matter.
// Source: Liu, Lochman and Zach, "GEN: pushing the limits of softmax-based out-of-distribution
// detection", 2023.

override WORKGROUP: u32 = 8u; // invocations per workgroup
override LANES: u32 = 1u; // invocations per row, a power of two that divides WORKGROUP
override VECTOR: bool = true; // columns is a multiple of 4


const LOWEST = -3.4028234e38;
const LOWEST_KEY = 0x00800000u; // of LOWEST
const HIGHEST_KEY = 0xff7fffffu; // of -LOWEST

struct Params {
  rows: u32,
  columns: u32,
  gamma: f32,
  count: u32, // probabilities that count
}

// What the terms of a row depend on.
struct Row {
  top: f32, // the largest element
  log_sum: f32, // log of the sum of exp(x - top)
  log_others: f32, // the same without one largest element
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> x4: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

var<workgroup> shared_pair: array<vec2<f32>, WORKGROUP>;
var<workgroup> shared_counts: array<vec4<u32>, WORKGROUP>;

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

// The element that a key stands for; keys order as their elements do. Bounds beyond the finite numbers
// become the nearest finite one.
fn element_of(key: u32) -> f32 {
  let k = clamp(key, LOWEST_KEY, HIGHEST_KEY);
  return bitcast<f32>(select(~k, k ^ 0x80000000u, (k & 0x80000000u) != 0u));
}

fn top_two(a: vec2<f32>, b: vec2<f32>) -> vec2<f32> {
  return vec2<f32>(max(a.x, b.x), max(min(a.x, b.x), max(a.y, b.y)));
}

// The two largest of four.
fn top_two_of(v: vec4<f32>) -> vec2<f32> {
  return top_two(vec2<f32>(max(v.x, v.y), min(v.x, v.y)), vec2<f32>(max(v.z, v.w), min(v.z, v.w)));
}

// For all lanes of a row: the two largest elements.
fn share_top_two(pair: vec2<f32>, local: u32, lane: u32) -> vec2<f32> {
  if (LANES == 1u) {
    return pair;
  }
  var mine = pair;
  shared_pair[local] = mine;
  for (var stride = LANES / 2u; stride > 0u; stride /= 2u) {
    workgroupBarrier();
    if (lane < stride) {
      mine = top_two(mine, shared_pair[local + stride]);
      shared_pair[local] = mine;
    }
  }
  workgroupBarrier();
  let whole = shared_pair[local - lane];
  // Nobody may overwrite what another lane has yet to read.
  workgroupBarrier();
  return whole;
}

// For all lanes of a row: the sums of two numbers.
fn share_sums(pair: vec2<f32>, local: u32, lane: u32) -> vec2<f32> {
  if (LANES == 1u) {
    return pair;
  }
  var mine = pair;
  shared_pair[local] = mine;
  for (var stride = LANES / 2u; stride > 0u; stride /= 2u) {
    workgroupBarrier();
    if (lane < stride) {
      mine += shared_pair[local + stride];
      shared_pair[local] = mine;
    }
  }
  workgroupBarrier();
  let whole = shared_pair[local - lane];
  workgroupBarrier();
  return whole;
}

// For all lanes of a row: the sums of counts.
fn share_counts(counts: vec4<u32>, local: u32, lane: u32) -> vec4<u32> {
  if (LANES == 1u) {
    return counts;
  }
  var mine = counts;
  shared_counts[local] = mine;
  for (var stride = LANES / 2u; stride > 0u; stride /= 2u) {
    workgroupBarrier();
    if (lane < stride) {
      mine += shared_counts[local + stride];
      shared_counts[local] = mine;
    }
  }
  workgroupBarrier();
  let whole = shared_counts[local - lane];
  workgroupBarrier();
  return whole;
}

fn total(v: vec4<f32>) -> f32 {
  return (v.x + v.y) + (v.z + v.w);
}

fn number_of(v: vec4<bool>) -> u32 {
  let n = select(vec4<u32>(0u), vec4<u32>(1u), v);
  return (n.x + n.y) + (n.z + n.w);
}

// p^gamma (1 - p)^gamma of four elements.
fn terms(v: vec4<f32>, row: Row) -> vec4<f32> {
  let log_p = v - row.top - row.log_sum;
  // Below the largest element p is at most one half, so 1 - p keeps its digits.
  let log_rest = log(max(vec4<f32>(0.25), 1.0 - exp(log_p)));
  let log_q = select(log_rest, vec4<f32>(row.log_others - row.log_sum), v == vec4<f32>(row.top));
  return exp(params.gamma * (log_p + log_q));
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
  var pair = vec2<f32>(LOWEST);
  for (var j = lane; j < groups; j += LANES) {
    pair = top_two(pair, top_two_of(group(start, j)));
  }
  if (owns_rest) {
    pair = top_two(pair, top_two_of(rest(start, LOWEST)));
  }
  pair = share_top_two(pair, local, lane);

  // The sum of the others, and how many elements are the largest.
  let top = vec4<f32>(pair.x);
  var others = vec4<f32>(0.0);
  var ties = 0u;
  for (var j = lane; j < groups; j += LANES) {
    let v = group(start, j);
    others += select(vec4<f32>(0.0), exp(v - pair.y), v < top);
    ties += number_of(v == top);
  }
  if (owns_rest) {
    let v = rest(start, LOWEST);
    others += select(vec4<f32>(0.0), exp(v - pair.y), v < top);
    ties += number_of(v == top);
  }
  let sums = share_sums(vec2<f32>(total(others), f32(ties)), local, lane);
  let log_others = pair.y - pair.x + log(max(sums.x + sums.y - 1.0, 1e-30));
  let of_row = Row(pair.x, log(1.0 + exp(log_others)), log_others);

  // The count-th largest element, or a bound with exactly `count` elements at or above it.
  var key = 0u;
  var found = params.count >= params.columns;
  if (params.count < params.columns) {
    for (var shift = 32u; shift > 0u; shift -= 2u) {
      let step = 1u << (shift - 2u);
      let low = vec4<f32>(element_of(key + step));
      let middle = vec4<f32>(element_of(key + 2u * step));
      let high = vec4<f32>(element_of(key + 3u * step));
      var counts = vec4<u32>(0u);
      if (!found) {
        for (var j = lane; j < groups; j += LANES) {
          let v = group(start, j);
          counts += vec4<u32>(number_of(v >= low), number_of(v >= middle), number_of(v >= high), 0u);
        }
        if (owns_rest) {
          let v = rest(start, LOWEST);
          let real = vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(params.columns & 3u);
          counts += vec4<u32>(
            number_of(real & (v >= low)),
            number_of(real & (v >= middle)),
            number_of(real & (v >= high)),
            0u,
          );
        }
      }
      counts = share_counts(counts, local, lane);
      if (!found) {
        if (counts.z >= params.count) {
          key += 3u * step;
          found = counts.z == params.count;
        } else if (counts.y >= params.count) {
          key += 2u * step;
          found = counts.y == params.count;
        } else if (counts.x >= params.count) {
          key += step;
          found = counts.x == params.count;
        }
      }
    }
  }

  // With an exact bound its own elements count; else those equal to it fill what is left.
  let bound = vec4<f32>(element_of(key));
  var sum = vec4<f32>(0.0);
  var above = 0u;
  for (var j = lane; j < groups; j += LANES) {
    let v = group(start, j);
    let chosen = (v > bound) | ((v == bound) & vec4<bool>(found));
    sum += select(vec4<f32>(0.0), terms(v, of_row), chosen);
    above += number_of(chosen);
  }
  if (owns_rest) {
    let v = rest(start, LOWEST);
    let real = vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(params.columns & 3u);
    let chosen = real & ((v > bound) | ((v == bound) & vec4<bool>(found)));
    sum += select(vec4<f32>(0.0), terms(v, of_row), chosen);
    above += number_of(chosen);
  }
  let whole = share_sums(vec2<f32>(total(sum), f32(above)), local, lane);
  if (inside && lane == 0u) {
    let left = f32(params.count) - whole.y;
    let entropy = whole.x + select(0.0, left * terms(bound, of_row).x, left > 0.0);
    y[row] = select(-entropy, 0.0, params.columns == 1u);
  }
}
