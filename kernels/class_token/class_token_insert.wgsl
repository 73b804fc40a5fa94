// Puts a row of its own before each list of ragged rows, and adds a row for the place in the list.
//
//   y[offsets[n] + n] = token + positions[0]
//   y[offsets[n] + n + i + 1] = x[offsets[n] + i] + positions[i + 1] for all rows i of list n
//   shifted[n] = offsets[n] + n
//
// Rows of y behind the last list are zeros; a place beyond the last position adds nothing.
//
// Shapes: x: Elem[rows - lists, columns], row-major; token: Elem[columns];
// positions: Elem[positions, columns]; offsets, shifted: i32[lists + 1]; y: Elem[rows, columns].
// Dispatch: gridFor(max(rows columns, lists + 1), 64), an invocation for each element; the grid folds
// x into y. Each finds its list by bisection of the offsets.
// Numerics: one f32 sum.

alias Elem = vec4<f32>; // @spec

struct Params {
  rows: u32,
  columns: u32, // in units of Elem
  lists: u32,
  positions: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Elem>;
@group(0) @binding(1) var<storage, read> token: array<Elem>;
@group(0) @binding(2) var<storage, read> positions: array<Elem>;
@group(0) @binding(3) var<storage, read> offsets: array<i32>;
@group(0) @binding(4) var<storage, read_write> y: array<Elem>;
@group(0) @binding(5) var<storage, read_write> shifted: array<i32>;
@group(1) @binding(0) var<uniform> params: Params;

// The first row of a list in y.
fn begin_of(list: u32) -> u32 {
  return u32(offsets[list]) + list;
}

// The list of a row of y; `lists` for padding.
fn list_of(row: u32) -> u32 {
  var low = 0u;
  var high = params.lists;
  while (low < high) {
    let middle = (low + high + 1u) / 2u;
    if (begin_of(middle) <= row) {
      low = middle;
    } else {
      high = middle - 1u;
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
  let item = (wid.y * grid.x + wid.x) * 64u + lane;
  if (item <= params.lists) {
    shifted[item] = i32(begin_of(item));
  }
  if (item >= params.rows * params.columns) {
    return;
  }
  let row = item / params.columns;
  let column = item - row * params.columns;
  let list = list_of(row);
  var sum = Elem(0.0);
  if (list < params.lists) {
    let place = row - begin_of(list);
    if (place == 0u) {
      sum = token[column];
    } else {
      sum = x[(row - list - 1u) * params.columns + column];
    }
    if (place < params.positions) {
      sum += positions[place * params.columns + column];
    }
  }
  y[item] = sum;
}
