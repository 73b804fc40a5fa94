// Copies matrices into panels: tiles of rows, and within a tile the rows side by side for each k.
//
//   panels[s, t, k, i] = x(s, t * SIDE + i, k)
//
// Shapes: x: f32[batches, rows, k] with k a multiple of 4, or f32[batches, k, rows] with rows a
//   multiple of 4 when TRANSPOSED is 1; panels: f32[batches, ceil(rows / SIDE), k, SIDE]. Row-major,
//   read and written in vec4. The matrices begin at x_begin, their panels at panel_begin.
// Bindings: x, panels. Dispatch: (ceil(k_quads / 8), row tiles * SIDE_QUADS, batches). Each
//   invocation copies 4 rows by 4 of k, and neighbours the next ones along k; no division by what is
//   not a constant, which costs a software adapter as much as the copy. Rows beyond the last one
//   repeat it.

const SIDE_QUADS: u32 = 6u; // @spec rows of a tile over 4
const TRANSPOSED: u32 = 0u; // @spec
const WHOLE: u32 = 0u; // @spec 1 when k is a multiple of 4

struct Params {
  rows: u32,
  k: u32,
  row_quads: u32, // row tiles * SIDE_QUADS
  k_quads: u32, // ceil(k / 4)
  x_begin: u32, // vec4 elements before the first matrix
  panel_begin: u32, // panels before its first one
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> panels: array<vec4<f32>>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let k_quads = params.k_quads;
  let k_quad = wid.x * 8u + lane;
  if (k_quad >= k_quads) {
    return;
  }
  let rows = params.rows;
  let k = params.k;
  let row_quad = wid.y;
  let batch = wid.z;

  var block: mat4x4<f32>; // a column for each k
  if (TRANSPOSED == 1u) { // @static
    let stride = rows / 4u;
    let quad = min(row_quad, stride - 1u);
    let start = params.x_begin + (batch * k + 4u * k_quad) * stride + quad;
    block = mat4x4(x[start], x[start + stride], x[start + 2u * stride], x[start + 3u * stride]);
  }
  if (TRANSPOSED == 0u) { // @static
    let start = params.x_begin + batch * rows * k_quads + k_quad;
    let last = rows - 1u;
    let row = 4u * row_quad;
    block = transpose(mat4x4(
      x[start + min(row, last) * k_quads],
      x[start + min(row + 1u, last) * k_quads],
      x[start + min(row + 2u, last) * k_quads],
      x[start + min(row + 3u, last) * k_quads],
    ));
  }

  let panel = params.panel_begin + batch * (params.row_quads / SIDE_QUADS) + row_quad / SIDE_QUADS;
  let begin = (panel * k + 4u * k_quad) * SIDE_QUADS + row_quad % SIDE_QUADS;
  if (WHOLE == 1u) { // @static
    panels[begin] = block[0];
    panels[begin + SIDE_QUADS] = block[1];
    panels[begin + 2u * SIDE_QUADS] = block[2];
    panels[begin + 3u * SIDE_QUADS] = block[3];
  }
  if (WHOLE == 0u) { // @static
    let left = k - 4u * k_quad;
    panels[begin] = block[0];
    if (left > 1u) {
      panels[begin + SIDE_QUADS] = block[1];
    }
    if (left > 2u) {
      panels[begin + 2u * SIDE_QUADS] = block[2];
    }
    if (left > 3u) {
      panels[begin + 3u * SIDE_QUADS] = block[3];
    }
  }
}
