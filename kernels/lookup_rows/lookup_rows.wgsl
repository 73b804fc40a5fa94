// Rows of a table by their numbers; zeros where there is no such row.
//
//   y[n] = table[index[n]]
//
// Shapes: table: Elem[rows, columns], row-major; index: i32[samples]; y: Elem[samples, columns].
// Dispatch: gridFor(samples columns, 64), an invocation for each element; the grid folds x into y.

alias Elem = vec4<f32>; // @spec

struct Params {
  samples: u32,
  rows: u32,
  columns: u32, // in units of Elem
}

@group(0) @binding(0) var<storage, read> table: array<Elem>;
@group(0) @binding(1) var<storage, read> index: array<i32>;
@group(0) @binding(2) var<storage, read_write> y: array<Elem>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let item = (wid.y * grid.x + wid.x) * 64u + lane;
  if (item >= params.samples * params.columns) {
    return;
  }
  let sample = item / params.columns;
  let column = item - sample * params.columns;
  let row = index[sample];
  var value = Elem(0.0);
  if (row >= 0 && row < i32(params.rows)) {
    value = table[u32(row) * params.columns + column];
  }
  y[item] = value;
}
