// Second moments of the columns of a matrix: the baseline. One element of the result per invocation.
//
//   gram[s, i, j] = sum over the rows n of slice s of (x[n, i] - shift[i]) (x[n, j] - shift[j])
//
// Shapes: x: f32[rows, columns], row-major; shift: f32[columns]; gram: f32[slices, columns, columns].
// Dispatch: gridFor(slices * columns^2, 64); the grid folds x into y. Accumulator: f32.

struct Params {
  rows: u32,
  columns: u32,
  slice_rows: u32,
  slices: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> shift: array<f32>;
@group(0) @binding(2) var<storage, read_write> gram: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let at = (wid.y * grid.x + wid.x) * 64u + local;
  let size = params.columns * params.columns;
  if (at >= params.slices * size) {
    return;
  }
  let i = at % size / params.columns;
  let j = at % params.columns;
  let begin = at / size * params.slice_rows;
  var sum = 0.0;
  for (var n = begin; n < min(params.rows, begin + params.slice_rows); n++) {
    let row = n * params.columns;
    sum += (x[row + i] - shift[i]) * (x[row + j] - shift[j]);
  }
  gram[at] = sum;
}
