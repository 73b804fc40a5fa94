// The baseline's products: every row of a with every row of b of the same list, head by head, as a
// matrix.
//
//   s[row, head, j] = factor sum_c a[row, head d + c] b[first + j, head d + c]
//
// with `first` the first row of b of the row's list. Entries beyond the list, and those of padding
// rows, are not written.
//
// Shapes: offsets, key_offsets: i32[lists + 1], ascending; a: f32[rows, heads d]; b: f32[*, heads d];
//   s: f32[rows, heads, stride]. Row-major.
// Dispatch: gridFor(rows * heads * stride, 64), one product each; the grid folds x into y.
// Numerics: f32, in the order of c.

struct Params {
  lists: u32,
  rows: u32,
  heads: u32,
  dimension: u32, // d
  stride: u32,
  factor: f32,
}

@group(0) @binding(0) var<storage, read> offsets: array<i32>;
@group(0) @binding(1) var<storage, read> key_offsets: array<i32>;
@group(0) @binding(2) var<storage, read> a: array<f32>;
@group(0) @binding(3) var<storage, read> b: array<f32>;
@group(0) @binding(4) var<storage, read_write> s: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

// The list that a row below offsets[lists] belongs to.
fn list_of(row: u32) -> u32 {
  var low = 0u;
  var high = params.lists;
  while (high - low > 1u) {
    let middle = (low + high) / 2u;
    if (u32(offsets[middle]) <= row) {
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
  let j = index % params.stride;
  let head = index / params.stride % params.heads;
  let row = index / params.stride / params.heads;
  if (row >= min(params.rows, u32(offsets[params.lists]))) {
    return;
  }
  let list = list_of(row);
  let first = u32(key_offsets[list]);
  if (j >= u32(key_offsets[list + 1u]) - first) {
    return;
  }
  let columns = params.heads * params.dimension;
  let a_start = row * columns + head * params.dimension;
  let b_start = (first + j) * columns + head * params.dimension;
  var sum = 0.0;
  for (var c = 0u; c < params.dimension; c++) {
    sum = fma(a[a_start + c], b[b_start + c], sum);
  }
  s[index] = params.factor * sum;
}
