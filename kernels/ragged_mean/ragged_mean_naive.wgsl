// Means of the rows of ragged lists: the baseline. One column of a list per invocation, scalar loads.
//
//   y[n, c] = sum over the rows r of list n of x[r, c] / number of its rows; 0 for an empty list
//
// Shapes: x: f32[rows, columns], row-major; offsets: i32[lists + 1]; y: f32[lists, columns].
// Dispatch: gridFor(lists columns, 64); the grid folds x into y. Accumulator: f32.

struct Params {
  lists: u32,
  columns: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> offsets: array<i32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let item = (wid.y * grid.x + wid.x) * 64u + local;
  if (item >= params.lists * params.columns) {
    return;
  }
  let list = item / params.columns;
  let column = item - list * params.columns;
  let begin = u32(offsets[list]);
  let end = u32(offsets[list + 1u]);
  var sum = 0.0;
  for (var r = begin; r < end; r++) {
    sum += x[r * params.columns + column];
  }
  y[item] = sum / f32(max(1u, end - begin));
}
