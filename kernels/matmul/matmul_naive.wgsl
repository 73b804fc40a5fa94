// Matrix product, one output per invocation: the permanent baseline.
//
//   c[s, i, j] = sum_k a(s, i, k) * b(s, k, j) + bias[j]
//
// Shapes: a and b in any layout, given by strides in elements (batch, row or column, k);
//   c: f32[batches, m, n], row-major; bias: f32[n], read when has_bias is 1.
// Bindings: a, b, bias, c. Without a bias any buffer may stand for it.
// Dispatch: gridFor(batches * m * n, 64), folded from x into y.
// Accumulates in f32, in the order of k, from k_begin to k_end; adds to c when accumulate is 1.
// Variants: 1. naive (this), 2. matmul_register.wgsl, 3. matmul_tiled.wgsl; figures in
//   docs/kernels/products.md.

struct Params {
  batches: u32,
  m: u32,
  n: u32,
  k_begin: u32,
  k_end: u32,
  accumulate: u32,
  a_batch: u32, // elements between batches, 0 when shared
  a_row: u32, // elements between rows
  a_k: u32, // elements between neighbours along k
  b_batch: u32,
  b_column: u32,
  b_k: u32,
  has_bias: u32,
}

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> c: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let index = (wid.y * grid.x + wid.x) * 64u + lane;
  if (index >= params.batches * params.m * params.n) {
    return;
  }
  let column = index % params.n;
  let row = index / params.n % params.m;
  let batch = index / (params.n * params.m);
  let a_start = batch * params.a_batch + row * params.a_row;
  let b_start = batch * params.b_batch + column * params.b_column;
  var sum = 0.0;
  if (params.accumulate == 1u) {
    sum = c[index];
  }
  for (var k = params.k_begin; k < params.k_end; k++) {
    sum = fma(a[a_start + k * params.a_k], b[b_start + k * params.b_k], sum);
  }
  if (params.has_bias == 1u) {
    sum += bias[column];
  }
  c[index] = sum;
}
