// One number per row out of a column of a matrix and a vector.
//
//   y[r] = scale * a[r, column] + other_scale * f(b[r])
//
// with f the identity or, with ROOT, the square root of max(b, 0).
//
// Shapes: a: f32[rows, columns], row-major; b: f32[rows]; y: f32[rows]. Without HAS_OTHER b is not
// read (bind a again).
// Dispatch: gridFor(rows, WORKGROUP); the grid folds x into y. One invocation per row.
// Numerics: f32, one multiplication and one fused multiply-add.
// Variants: this one only; it moves 4 to 12 bytes per row and stands behind kernels that move
// thousands.

override WORKGROUP: u32 = 64u;
override HAS_OTHER: bool = false;
override ROOT: bool = false;

struct Params {
  rows: u32,
  columns: u32,
  column: u32,
  scale: f32,
  other_scale: f32,
}

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let row = (wid.y * grid.x + wid.x) * WORKGROUP + local;
  if (row >= params.rows) {
    return;
  }
  var value = params.scale * a[row * params.columns + params.column];
  if (HAS_OTHER) {
    var other = b[row];
    if (ROOT) {
      other = sqrt(max(other, 0.0));
    }
    value = fma(params.other_scale, other, value);
  }
  y[row] = value;
}
