// Sums of the columns of a matrix, slice by slice: the baseline. One column per invocation, scalar
// loads.
//
//   parts[s, c] = sum over the rows n of slice s of x[n, c]
//
// Shapes: x: f32[rows, columns], row-major; parts: f32[slices, columns].
// Dispatch: gridFor(slices * columns, 64); the grid folds x into y. Accumulator: f32.

struct Params {
  rows: u32,
  columns: u32,
  slice_rows: u32,
  slices: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> parts: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let at = (wid.y * grid.x + wid.x) * 64u + local;
  if (at >= params.slices * params.columns) {
    return;
  }
  let column = at % params.columns;
  let begin = at / params.columns * params.slice_rows;
  var sum = 0.0;
  for (var n = begin; n < min(params.rows, begin + params.slice_rows); n++) {
    sum += x[n * params.columns + column];
  }
  parts[at] = sum;
}
