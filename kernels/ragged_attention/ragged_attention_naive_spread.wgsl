// The baseline's sums over queries: each key's row is a mix of its list's query rows.
//
//   y[row, head d + c] = factor sum_i s[first + i, head, j] x[first + i, head d + c]
//
// with `first` the first query of the key's list and j the key's place in it. Padding rows, and rows
// whose list has no query, are 0.
//
// Shapes: offsets, key_offsets: i32[lists + 1], ascending; s: f32[*, heads, stride];
//   x: f32[*, heads d]; y: f32[rows, heads d]. Row-major.
// Dispatch: gridFor(rows * heads * d, 64), one element each; the grid folds x into y.
// Numerics: f32, in the order of the queries.

struct Params {
  lists: u32,
  rows: u32, // of y
  heads: u32,
  dimension: u32, // d
  stride: u32,
  factor: f32,
}

@group(0) @binding(0) var<storage, read> offsets: array<i32>;
@group(0) @binding(1) var<storage, read> key_offsets: array<i32>;
@group(0) @binding(2) var<storage, read> s: array<f32>;
@group(0) @binding(3) var<storage, read> x: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

// The list that a key below key_offsets[lists] belongs to.
fn list_of(key: u32) -> u32 {
  var low = 0u;
  var high = params.lists;
  while (high - low > 1u) {
    let middle = (low + high) / 2u;
    if (u32(key_offsets[middle]) <= key) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let index = (wid.y * grid.x + wid.x) * 64u + lane;
  let columns = params.heads * params.dimension;
  let row = index / columns;
  if (row >= params.rows) {
    return;
  }
  let column = index % columns;
  var j = 0u;
  var begin = 0u;
  var end = 0u;
  if (row < u32(key_offsets[params.lists])) {
    let list = list_of(row);
    j = row - u32(key_offsets[list]);
    begin = u32(offsets[list]);
    end = u32(offsets[list + 1u]);
  }
  var sum = 0.0;
  for (var i = begin; i < end; i++) {
    let at = (i * params.heads + column / params.dimension) * params.stride + j;
    sum = fma(s[at], x[i * columns + column], sum);
  }
  y[index] = params.factor * sum;
}
