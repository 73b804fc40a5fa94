// Keeps the `count` largest elements of every row, and makes up for the others.
//
//   PRUNE      y[r, c] = kept ? x[r, c] : 0
//   FILL       y[r, c] = kept ? (sum of the row) / count : 0
//   SCALE      y[r, c] = kept ? x[r, c] * e : 0
//   SCALE_ALL  y[r, c] = x[r, c] * e
//
// with e = exp(sum of the row / sum of what is kept); the quotient counts as 0 below and as 80 above
// these. Among equal elements those of the lowest index are kept.
//
// Shapes: x: f32[rows, columns], row-major, bound twice (scalars and vec4, the same memory);
// y: f32[rows, columns], bound as scalars (y) or as vec4 (y4), the other one a spare.
// 1 <= count <= columns.
// Dispatch: gridFor(rows, WORKGROUP / LANES); the grid folds x into y. LANES invocations share a
// row: 1 is the serial variant, WORKGROUP the tree variant. Three reads of x, and when
// count < columns up to sixteen more, which find the count-th largest element exactly, two bits of
// its order-preserving key per read, and stop early once a bound has exactly `count` elements at or
// above it; two more where elements equal to the count-th largest are too many.
// Numerics: f32, summed in blocks of BLOCK groups. What is kept does not depend on the layout.
// Source: Djurisic et al., "Extremely simple activation shaping for out-of-distribution detection",
// 2023; Xu et al., "Scaling for training time and post-hoc out-of-distribution detection", 2024.

override WORKGROUP: u32 = 8u; // invocations per workgroup
override LANES: u32 = 1u; // invocations per row, a power of two that divides WORKGROUP
override VECTOR: bool = true; // columns is a multiple of 4
override MODE: u32 = 0u;

const PRUNE = 0u;
const FILL = 1u;
const SCALE = 2u;
const SCALE_ALL = 3u;

const BLOCK = 64u; // groups of four
const LOWEST = -3.4028234e38;
const LOWEST_KEY = 0x00800000u; // of LOWEST
const HIGHEST_KEY = 0xff7fffffu; // of -LOWEST
const EVERY_INDEX = 0xffffffffu;
const LARGEST_EXPONENT = 80.0;
const LEAST_SUM = 1e-30;

struct Params {
  rows: u32,
  columns: u32,
  count: u32, // elements to keep
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> x4: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>; // !VECTOR
@group(0) @binding(3) var<storage, read_write> y4: array<vec4<f32>>; // VECTOR
@group(1) @binding(0) var<uniform> params: Params;

var<workgroup> shared_sum: array<f32, WORKGROUP>;
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

// Which of four are elements, in the last group.
fn real() -> vec4<bool> {
  return vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(params.columns & 3u);
}

fn store(start: u32, j: u32, v: vec4<f32>) {
  if (VECTOR) {
    y4[(start >> 2u) + j] = v;
    return;
  }
  let at = start + 4u * j;
  y[at] = v.x;
  y[at + 1u] = v.y;
  y[at + 2u] = v.z;
  y[at + 3u] = v.w;
}

// The last one to three elements of a row.
fn store_rest(start: u32, v: vec4<f32>) {
  let at = start + (params.columns & ~3u);
  let count = params.columns & 3u;
  y[at] = v.x;
  if (count > 1u) {
    y[at + 1u] = v.y;
  }
  if (count > 2u) {
    y[at + 2u] = v.z;
  }
}

// The element that a key stands for; keys order as their elements do. Bounds beyond the finite numbers
// become the nearest finite one.
fn element_of(key: u32) -> f32 {
  let k = clamp(key, LOWEST_KEY, HIGHEST_KEY);
  return bitcast<f32>(select(~k, k ^ 0x80000000u, (k & 0x80000000u) != 0u));
}

fn total(v: vec4<f32>) -> f32 {
  return (v.x + v.y) + (v.z + v.w);
}

fn number_of(v: vec4<bool>) -> u32 {
  let n = select(vec4<u32>(0u), vec4<u32>(1u), v);
  return (n.x + n.y) + (n.z + n.w);
}

// Where among four the nth true one is; n counts from 1.
fn place_of(v: vec4<bool>, n: u32) -> u32 {
  let one = select(vec4<u32>(0u), vec4<u32>(1u), v);
  let two = one.x + one.y;
  let three = two + one.z;
  return select(0u, 1u, one.x < n) + select(0u, 1u, two < n) + select(0u, 1u, three < n);
}

// For all lanes of a row: the sum of a number.
fn share_sum(value: f32, local: u32, lane: u32) -> f32 {
  if (LANES == 1u) {
    return value;
  }
  var mine = value;
  shared_sum[local] = mine;
  for (var stride = LANES / 2u; stride > 0u; stride /= 2u) {
    workgroupBarrier();
    if (lane < stride) {
      mine += shared_sum[local + stride];
      shared_sum[local] = mine;
    }
  }
  workgroupBarrier();
  let whole = shared_sum[local - lane];
  // Nobody may overwrite what another lane has yet to read.
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
  let has_rest = inside && !VECTOR && (params.columns & 3u) != 0u;
  // The lane whose turn it would be takes the elements that make no group of four.
  let owns_rest = has_rest && groups % LANES == lane;

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
          counts += vec4<u32>(
            number_of(real() & (v >= low)),
            number_of(real() & (v >= middle)),
            number_of(real() & (v >= high)),
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
  let bound = vec4<f32>(element_of(key));

  // How many lie above the bound and on it, the sum of the row and that of what is kept.
  var counts = vec4<u32>(0u);
  var sums = vec4<f32>(0.0);
  var kept = vec4<f32>(0.0);
  var j = lane;
  while (j < groups) {
    let stop = min(groups, j + BLOCK * LANES);
    var block = vec4<f32>(0.0);
    var kept_block = vec4<f32>(0.0);
    for (; j < stop; j += LANES) {
      let v = group(start, j);
      let above = (v > bound) | ((v == bound) & vec4<bool>(found));
      block += v;
      kept_block += select(vec4<f32>(0.0), v, above);
      counts += vec4<u32>(number_of(above), number_of(v == bound), 0u, 0u);
    }
    sums += block;
    kept += kept_block;
  }
  if (owns_rest) {
    let v = rest(start, 0.0);
    let above = real() & ((v > bound) | ((v == bound) & vec4<bool>(found)));
    sums += v;
    kept += select(vec4<f32>(0.0), v, above);
    counts += vec4<u32>(number_of(above), number_of(real() & (v == bound)), 0u, 0u);
  }
  counts = share_counts(counts, local, lane);
  let left = select(params.count - counts.x, 0u, found || !inside);
  var factor = 1.0;
  if (MODE != PRUNE) {
    let sum = share_sum(total(sums), local, lane);
    if (MODE == FILL) {
      factor = sum / f32(params.count);
    } else {
      let sum_kept = share_sum(total(kept), local, lane) + f32(left) * bound.x;
      factor = exp(clamp(sum / max(sum_kept, LEAST_SUM), 0.0, LARGEST_EXPONENT));
    }
  }

  // The index of the last element on the bound that is kept, where not all of them are.
  var cut = EVERY_INDEX;
  if (MODE != SCALE_ALL) {
    let tied = !found && inside && counts.y > left;
    let share = (groups + LANES - 1u) / LANES;
    let first = min(groups, lane * share);
    let end = min(groups, first + share);
    let last_lane = has_rest && lane == LANES - 1u;
    var mine = 0u;
    if (tied) {
      for (var g = first; g < end; g++) {
        mine += number_of(group(start, g) == bound);
      }
      if (last_lane) {
        mine += number_of(real() & (rest(start, 0.0) == bound));
      }
    }
    var before = 0u;
    if (LANES > 1u) {
      shared_counts[local].x = mine;
      workgroupBarrier();
      for (var other = local - lane; other < local; other++) {
        before += shared_counts[other].x;
      }
      workgroupBarrier();
    }
    if (tied && before < left && before + mine >= left) {
      for (var g = first; g < end; g++) {
        let equal = group(start, g) == bound;
        let number = number_of(equal);
        if (before < left && before + number >= left) {
          cut = 4u * g + place_of(equal, left - before);
        }
        before += number;
      }
      if (last_lane && before < left) {
        cut = 4u * groups + place_of(real() & (rest(start, 0.0) == bound), left - before);
      }
      shared_counts[local - lane].x = cut;
    }
    if (LANES > 1u) {
      workgroupBarrier();
      cut = select(EVERY_INDEX, shared_counts[local - lane].x, tied);
    }
  }

  for (j = lane; j < groups; j += LANES) {
    let v = group(start, j);
    let index = 4u * j + vec4<u32>(0u, 1u, 2u, 3u);
    let stays = (v > bound) | ((v == bound) & (index <= vec4<u32>(cut)));
    let value = select(v * factor, vec4<f32>(factor), MODE == FILL);
    store(start, j, select(vec4<f32>(0.0), value, stays | vec4<bool>(MODE == SCALE_ALL)));
  }
  if (owns_rest) {
    let v = rest(start, 0.0);
    let index = 4u * groups + vec4<u32>(0u, 1u, 2u, 3u);
    let stays = (v > bound) | ((v == bound) & (index <= vec4<u32>(cut)));
    let value = select(v * factor, vec4<f32>(factor), MODE == FILL);
    store_rest(start, select(vec4<f32>(0.0), value, stays | vec4<bool>(MODE == SCALE_ALL)));
  }
}
