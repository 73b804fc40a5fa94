// Squared distances, one per invocation: the first half of the permanent baseline.
//
//   distances[i, j] = sum_k (x[row_begin + i, k] - y[bank_begin + j, k])^2
//
// Shapes: x: f32[.., k]; y: f32[.., k]; distances: f32[rows, columns]. Row-major.
// Bindings: x, y, distances. Dispatch: gridFor(rows * columns, 64), folded from x into y.
// Variants: 1. naive (this and k_nearest_insert.wgsl), 2. k_nearest_register.wgsl,
//   3. k_nearest_tiled.wgsl, both with k_nearest_select.wgsl; figures in docs/kernels/products.md.

struct Params {
  rows: u32,
  row_begin: u32,
  columns: u32,
  bank_begin: u32,
  k: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> y: array<f32>;
@group(0) @binding(2) var<storage, read_write> distances: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let index = (wid.y * grid.x + wid.x) * 64u + lane;
  if (index >= params.rows * params.columns) {
    return;
  }
  let x_start = (params.row_begin + index / params.columns) * params.k;
  let y_start = (params.bank_begin + index % params.columns) * params.k;
  var sum = 0.0;
  for (var l = 0u; l < params.k; l++) {
    let d = x[x_start + l] - y[y_start + l];
    sum = fma(d, d, sum);
  }
  distances[index] = sum;
}
