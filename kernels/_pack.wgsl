// Copies a matrix into rows that are contiguous along k and padded with zeros to whole vec4.
//
//   packed[s, i, q] = (x(s, i, 4q), ..., x(s, i, 4q + 3)),  0 beyond k
//
// Shapes: x: f32[batches, rows, k], or f32[batches, k, rows] when transposed is 1;
//   packed: vec4<f32>[batches, rows, quads], quads = ceil(k / 4). Row-major.
// Bindings: x, packed. Dispatch: gridFor(batches * rows * quads, 64), folded from x into y.
// Neighbouring invocations read neighbouring elements of x in either layout.

struct Params {
  count: u32, // vec4 elements of packed
  rows: u32,
  k: u32,
  quads: u32,
  transposed: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> packed: array<vec4<f32>>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let index = (wid.y * grid.x + wid.x) * 64u + lane;
  if (index >= params.count) {
    return;
  }
  var row = index / params.quads % params.rows;
  var quad = index % params.quads;
  let batch = index / (params.quads * params.rows);
  var stride = 1u;
  var start = (batch * params.rows + row) * params.k + quad * 4u;
  if (params.transposed == 1u) {
    row = index % params.rows;
    quad = index / params.rows % params.quads;
    stride = params.rows;
    start = (batch * params.k + quad * 4u) * params.rows + row;
  }
  let left = params.k - quad * 4u;
  var value = vec4<f32>(x[start], 0.0, 0.0, 0.0);
  if (left > 1u) {
    value.y = x[start + stride];
  }
  if (left > 2u) {
    value.z = x[start + 2u * stride];
  }
  if (left > 3u) {
    value.w = x[start + 3u * stride];
  }
  packed[(batch * params.rows + row) * params.quads + quad] = value;
}
