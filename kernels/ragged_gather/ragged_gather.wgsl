// Rows of a matrix by index, and zeros behind the last one.
//
//   y[r] = x[places[r]] where r < offsets[lists], else 0
//
// Shapes: x: Elem[.., columns], row-major; places: u32[rows], written where r < offsets[lists];
// offsets: i32[lists + 1]; y: Elem[rows, columns].
// Dispatch: gridFor(rows ceil(columns / span), WORKGROUP); the grid folds x into y. An invocation
// copies `span` neighbours of a row: all of a row on a software adapter, where the two loads before
// cost as much as an element, one elsewhere, so that neighbours in a workgroup are neighbours in
// memory. Loop turns of an invocation: span.

override WORKGROUP: u32 = 8u;

alias Elem = vec4<f32>; // @spec

struct Params {
  rows: u32,
  columns: u32, // in units of Elem
  span: u32, // in units of Elem
  spans: u32, // in a row
  lists: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Elem>;
@group(0) @binding(1) var<storage, read> places: array<u32>;
@group(0) @binding(2) var<storage, read> offsets: array<i32>;
@group(0) @binding(3) var<storage, read_write> y: array<Elem>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let item = (wid.y * grid.x + wid.x) * WORKGROUP + local;
  if (item >= params.rows * params.spans) {
    return;
  }
  let row = item / params.spans;
  let first = (item - row * params.spans) * params.span;
  let end = min(params.columns, first + params.span);
  if (row < u32(offsets[params.lists])) {
    let start = places[row] * params.columns;
    for (var c = first; c < end; c++) {
      y[row * params.columns + c] = x[start + c];
    }
  } else {
    for (var c = first; c < end; c++) {
      y[row * params.columns + c] = Elem(0.0);
    }
  }
}
