// Merges a block of distances into the k smallest of each row.
//
// Shapes: distances: f32[groups, rows, 16]; minima: f32[groups, rows]; best: f32[.., k] and
//   nearest: f32[.., k], rows row_begin to row_begin + rows of them. best is ascending; nearest is
//   a heap, and ascending after the run whose sort is 1.
// Bindings: distances, minima, best, nearest. The k values so far are, by source: 0 nowhere (all
//   3.4028234e38), 1 in best, 2 in nearest.
// Dispatch: gridFor(rows, 8), folded from x into y: one row per invocation.
//
// The k values live in a heap whose root is the largest: one comparison with the root rejects a
// distance, one with a group's minimum rejects 16. The search for the next distance to keep is a
// loop of its own, so that the invocations of a vector look on their own and insert together; the
// other way round each insertion of one would hold up all.
//
// The heap is the row of nearest itself. A private array is faster to reach, but LLVM takes 26 s to
// compile one of 1024 elements.

const HIGHEST: f32 = 3.4028234e38;

struct Params {
  rows: u32,
  row_begin: u32,
  groups: u32,
  k: u32,
  source: u32,
  sort: u32,
}

@group(0) @binding(0) var<storage, read> distances: array<f32>;
@group(0) @binding(1) var<storage, read> minima: array<f32>;
@group(0) @binding(2) var<storage, read> best: array<f32>;
@group(0) @binding(3) var<storage, read_write> nearest: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

/// Puts a value in the place of the root of a heap of some length, which begins at start: a parent
/// is never smaller than its children 2i + 1 and 2i + 2.
fn replace_root(value: f32, start: u32, length: u32) {
  var hole = 0u;
  loop {
    var child = 2u * hole + 1u;
    if (child >= length) {
      break;
    }
    var larger = nearest[start + child];
    if (child + 1u < length) {
      let other = nearest[start + child + 1u];
      if (other > larger) {
        larger = other;
        child += 1u;
      }
    }
    if (larger <= value) {
      break;
    }
    nearest[start + hole] = larger;
    hole = child;
  }
  nearest[start + hole] = value;
}

@compute @workgroup_size(8)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = (wid.y * grid.x + wid.x) * 8u + lane;
  if (row >= params.rows) {
    return;
  }
  let k = params.k;
  let start = (params.row_begin + row) * k;
  if (params.source != 2u) {
    for (var i = 0u; i < k; i++) {
      var value = HIGHEST;
      if (params.source == 1u) {
        // Descending values are a heap already.
        value = best[start + k - 1u - i];
      }
      nearest[start + i] = value;
    }
  }

  let end = params.groups * 16u;
  var position = 0u;
  var root = nearest[start];
  loop {
    var candidate = HIGHEST;
    loop {
      if (position >= end) {
        break;
      }
      let group = position / 16u * params.rows + row;
      if (position % 16u == 0u) {
        if (minima[group] >= root) {
          position += 16u;
          continue;
        }
      }
      candidate = distances[group * 16u + position % 16u];
      position += 1u;
      if (candidate < root) {
        break;
      }
      candidate = HIGHEST;
    }
    if (candidate >= root) {
      break;
    }
    replace_root(candidate, start, k);
    root = nearest[start];
  }

  if (params.sort == 1u) {
    for (var length = k - 1u; length > 0u; length--) {
      let value = nearest[start + length];
      nearest[start + length] = nearest[start];
      replace_root(value, start, length);
    }
  }
}
