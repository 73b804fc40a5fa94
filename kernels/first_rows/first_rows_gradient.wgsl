// The gradient of the first row of each list of ragged rows: zeros in all other rows, those behind the
// last list too.
//
//   dX[offsets[n]] = dY[n] for every list n that is not empty
//
// Shapes: dY: Elem[lists, columns], row-major; offsets: i32[lists + 1]; dX: Elem[rows, columns].
// Dispatch: gridFor(rows columns, 64), an invocation for each element; the grid folds x into y. Each
// finds its list by bisection of the offsets.

alias Elem = vec4<f32>; // @spec

struct Params {
  rows: u32, // of dX
  columns: u32, // in units of Elem
  lists: u32,
}

@group(0) @binding(0) var<storage, read> dY: array<Elem>;
@group(0) @binding(1) var<storage, read> offsets: array<i32>;
@group(0) @binding(2) var<storage, read_write> dX: array<Elem>;
@group(1) @binding(0) var<uniform> params: Params;

// The list of a row; `lists` for padding.
fn list_of(row: u32) -> u32 {
  var low = 0u;
  var high = params.lists;
  while (low < high) {
    let middle = (low + high + 1u) / 2u;
    if (u32(offsets[middle]) <= row) {
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
  if (item >= params.rows * params.columns) {
    return;
  }
  let row = item / params.columns;
  let column = item - row * params.columns;
  let list = list_of(row);
  var value = Elem(0.0);
  if (list < params.lists && u32(offsets[list]) == row) {
    value = dY[list * params.columns + column];
  }
  dX[item] = value;
}
