// Sums of the columns of a matrix, chunk by chunk: the first of two passes.
//
//   parts[p, c] = sum over the rows n of one chunk with n % phases = p % phases of x[n, c]
//
// Shapes: x: f32[rows, columns], row-major, bound twice (scalars and vec4, the same memory);
// parts: f32[chunks * phases, columns] as vec4.
// A block is `phases` rows, a whole number of vec4. An invocation owns GROUPS vec4 of a block, and so
// the same columns in every block of its chunk: one where neighbours should read neighbouring memory
// together, several where each reads on and on by itself.
// Dispatch: gridFor(invocations, WORKGROUP); the grid folds x into y.
// Accumulator: f32; eight blocks at a time are added as a tree, those sums in order.
//
// 1. naive: column_sum_naive.wgsl, a column per invocation. 2. this. Figures in
// docs/kernels/training.md.

const GROUPS: u32 = 1u; // @spec vec4 of an invocation, a divisor of those of a block

override WORKGROUP: u32 = 8u;

struct Params {
  elements: u32, // rows * columns
  block: u32, // elements of a block, a multiple of four
  chunk: u32, // elements of a chunk, a multiple of `block`
  invocations: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> x4: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> parts: array<vec4<f32>>;
@group(1) @binding(0) var<uniform> params: Params;

// Four neighbours, zeros beyond the matrix.
fn group(e: u32) -> vec4<f32> {
  if (e + 4u <= params.elements) {
    return x4[e >> 2u];
  }
  var v = vec4<f32>(0.0);
  for (var i = 0u; e + i < params.elements; i++) {
    v[i] = x[e + i];
  }
  return v;
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let at = (wid.y * grid.x + wid.x) * WORKGROUP + local;
  if (at >= params.invocations) {
    return;
  }
  let block = params.block;
  let lanes = (block >> 2u) / GROUPS;
  let chunk = at / lanes * params.chunk;
  let end = min(params.elements, chunk + params.chunk);
  var e = chunk + at % lanes * 4u * GROUPS;
  var sum: array<vec4<f32>, GROUPS>;
  for (var g = 0u; g < GROUPS; g++) { // @unroll
    sum[g] = vec4<f32>(0.0);
  }
  for (; e + 7u * block + 4u * GROUPS <= end; e += 8u * block) {
    let q = e >> 2u;
    let step = block >> 2u;
    for (var g = 0u; g < GROUPS; g++) { // @unroll
      let a = (x4[q + g] + x4[q + step + g]) + (x4[q + 2u * step + g] + x4[q + 3u * step + g]);
      let b = (x4[q + 4u * step + g] + x4[q + 5u * step + g]) +
        (x4[q + 6u * step + g] + x4[q + 7u * step + g]);
      sum[g] += a + b;
    }
  }
  for (; e < end; e += block) {
    for (var g = 0u; g < GROUPS; g++) { // @unroll
      sum[g] += group(e + 4u * g);
    }
  }
  for (var g = 0u; g < GROUPS; g++) { // @unroll
    parts[at * GROUPS + g] = sum[g];
  }
}
