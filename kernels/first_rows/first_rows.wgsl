// The first row of each list of ragged rows, zeros for an empty list.
//
//   y[n] = x[offsets[n]]
//
// Shapes: x: Elem[any rows, columns], row-major; offsets: i32[lists + 1]; y: Elem[lists, columns].
// Dispatch: gridFor(lists columns, 64), an invocation for each element; the grid folds x into y.

alias Elem = vec4<f32>; // @spec

struct Params {
  lists: u32,
  columns: u32, // in units of Elem
}

@group(0) @binding(0) var<storage, read> x: array<Elem>;
@group(0) @binding(1) var<storage, read> offsets: array<i32>;
@group(0) @binding(2) var<storage, read_write> y: array<Elem>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let item = (wid.y * grid.x + wid.x) * 64u + lane;
  if (item >= params.lists * params.columns) {
    return;
  }
  let list = item / params.columns;
  let column = item - list * params.columns;
  let begin = offsets[list];
  var value = Elem(0.0);
  if (begin < offsets[list + 1u]) {
    value = x[u32(begin) * params.columns + column];
  }
  y[item] = value;
}
