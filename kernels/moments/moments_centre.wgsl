// Subtracts a vector from every row of a matrix, for the variant that hands the product to matmul.
//
//   y[n, c] = x[n, c] - shift[c]
//
// Shapes: x, y: f32[rows, columns], row-major; shift: f32[columns].
// Dispatch: gridFor(rows * columns, 64); the grid folds x into y.

struct Params {
  count: u32, // rows * columns
  columns: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> shift: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let at = (wid.y * grid.x + wid.x) * 64u + local;
  if (at < params.count) {
    y[at] = x[at] - shift[at % params.columns];
  }
}
