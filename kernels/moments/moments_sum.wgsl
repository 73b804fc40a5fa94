// Sums of the columns of a matrix, slice by slice.
//
//   sum[s, c] = sum over the rows n of slice s of (x[n, c] - shift[c])
//
// Shapes: x: f32[rows, columns], row-major; shift: f32[columns]; sum: f32[slices, columns].
// Dispatch: gridFor(slices * columns, WORKGROUP); the grid folds x into y. Neighbouring invocations
// own neighbouring columns. Accumulator: f32.

override WORKGROUP: u32 = 8u;

struct Params {
  rows: u32,
  columns: u32,
  slice_rows: u32,
  slices: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> shift: array<f32>;
@group(0) @binding(2) var<storage, read_write> sum: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let at = (wid.y * grid.x + wid.x) * WORKGROUP + local;
  if (at >= params.slices * params.columns) {
    return;
  }
  let column = at % params.columns;
  let begin = at / params.columns * params.slice_rows;
  let end = min(params.rows, begin + params.slice_rows);
  let origin = shift[column];
  var total = 0.0;
  for (var n = begin; n < end; n++) {
    total += x[n * params.columns + column] - origin;
  }
  sum[at] = total;
}
