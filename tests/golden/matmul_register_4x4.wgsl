// Matrix product with a register tile per invocation and no workgroup memory.
//
//   c[s, i, j] = sum_k a[s, i, k] * b[s, j, k] + bias[j]
//
// Shapes: a: vec4<f32>[batches or 1, m, quads] and b: vec4<f32>[batches or 1, n, quads], both
//   contiguous along k, k = 4 * quads (padded with zeros); c: f32[batches, m, n]; bias: f32[n],
//   read when has_bias is 1. All row-major.
// Bindings: a, b, bias, c. Without a bias any buffer may stand for it.
// Dispatch: gridFor(tiles, 8), folded from x into y; tiles = batches * row tiles * column tiles.
//   Neighbouring invocations own neighbouring tiles of a row, so few columns waste no lane.
// Accumulates in f32, in the order of k, from quad_begin to quad_end; adds to c
//   when ACCUMULATE is 1.
//   The tile's size does not change a bit of the result.
//
// Made for adapters that compute on the CPU, where a load costs as much as 11 to 25 fma whatever
// memory it comes from, and a workgroup of 8 is one AVX vector: only fma per load counts. Rows and
// columns beyond the matrix load what robust access gives and are not stored.

const TM: u32 = 4u; // @spec rows of a tile
const TN: u32 = 4u; // @spec columns of a tile
const ACCUMULATE: u32 = 0u; // @spec

struct Params {
  m: u32,
  n: u32,
  quads: u32, // vec4 elements along k
  quad_begin: u32,
  quad_end: u32,
  row_tiles: u32,
  column_tiles: u32,
  tiles: u32,
  a_batch: u32, // vec4 elements between batches, 0 when shared
  b_batch: u32,
  has_bias: u32,
}

@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> c: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(8)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let tile = (wid.y * grid.x + wid.x) * 8u + lane;
  if (tile >= params.tiles) {
    return;
  }
  let column = tile % params.column_tiles * TN;
  let row = tile / params.column_tiles % params.row_tiles * TM;
  let batch = tile / (params.column_tiles * params.row_tiles);
  let quads = params.quads;
  let a_start = batch * params.a_batch + row * quads;
  let b_start = batch * params.b_batch + column * quads;

  // The four steps of one sum stand together below, so that it stays in a register meanwhile.
  var sum: array<f32, TM * TN>;
  for (var q = params.quad_begin; q < params.quad_end; q++) {
    var x: array<vec4<f32>, TM>;
      x[0u] = a[a_start + 0u * quads + q];
      x[1u] = a[a_start + 1u * quads + q];
      x[2u] = a[a_start + 2u * quads + q];
      x[3u] = a[a_start + 3u * quads + q];
{
      let y = b[b_start + 0u * quads + q];
        sum[0u * TN + 0u] = fma(x[0u].y, y.y, fma(x[0u].x, y.x, sum[0u * TN + 0u]));
        sum[0u * TN + 0u] = fma(x[0u].w, y.w, fma(x[0u].z, y.z, sum[0u * TN + 0u]));
        sum[1u * TN + 0u] = fma(x[1u].y, y.y, fma(x[1u].x, y.x, sum[1u * TN + 0u]));
        sum[1u * TN + 0u] = fma(x[1u].w, y.w, fma(x[1u].z, y.z, sum[1u * TN + 0u]));
        sum[2u * TN + 0u] = fma(x[2u].y, y.y, fma(x[2u].x, y.x, sum[2u * TN + 0u]));
        sum[2u * TN + 0u] = fma(x[2u].w, y.w, fma(x[2u].z, y.z, sum[2u * TN + 0u]));
        sum[3u * TN + 0u] = fma(x[3u].y, y.y, fma(x[3u].x, y.x, sum[3u * TN + 0u]));
        sum[3u * TN + 0u] = fma(x[3u].w, y.w, fma(x[3u].z, y.z, sum[3u * TN + 0u]));
}
{
      let y = b[b_start + 1u * quads + q];
        sum[0u * TN + 1u] = fma(x[0u].y, y.y, fma(x[0u].x, y.x, sum[0u * TN + 1u]));
        sum[0u * TN + 1u] = fma(x[0u].w, y.w, fma(x[0u].z, y.z, sum[0u * TN + 1u]));
        sum[1u * TN + 1u] = fma(x[1u].y, y.y, fma(x[1u].x, y.x, sum[1u * TN + 1u]));
        sum[1u * TN + 1u] = fma(x[1u].w, y.w, fma(x[1u].z, y.z, sum[1u * TN + 1u]));
        sum[2u * TN + 1u] = fma(x[2u].y, y.y, fma(x[2u].x, y.x, sum[2u * TN + 1u]));
        sum[2u * TN + 1u] = fma(x[2u].w, y.w, fma(x[2u].z, y.z, sum[2u * TN + 1u]));
        sum[3u * TN + 1u] = fma(x[3u].y, y.y, fma(x[3u].x, y.x, sum[3u * TN + 1u]));
        sum[3u * TN + 1u] = fma(x[3u].w, y.w, fma(x[3u].z, y.z, sum[3u * TN + 1u]));
}
{
      let y = b[b_start + 2u * quads + q];
        sum[0u * TN + 2u] = fma(x[0u].y, y.y, fma(x[0u].x, y.x, sum[0u * TN + 2u]));
        sum[0u * TN + 2u] = fma(x[0u].w, y.w, fma(x[0u].z, y.z, sum[0u * TN + 2u]));
        sum[1u * TN + 2u] = fma(x[1u].y, y.y, fma(x[1u].x, y.x, sum[1u * TN + 2u]));
        sum[1u * TN + 2u] = fma(x[1u].w, y.w, fma(x[1u].z, y.z, sum[1u * TN + 2u]));
        sum[2u * TN + 2u] = fma(x[2u].y, y.y, fma(x[2u].x, y.x, sum[2u * TN + 2u]));
        sum[2u * TN + 2u] = fma(x[2u].w, y.w, fma(x[2u].z, y.z, sum[2u * TN + 2u]));
        sum[3u * TN + 2u] = fma(x[3u].y, y.y, fma(x[3u].x, y.x, sum[3u * TN + 2u]));
        sum[3u * TN + 2u] = fma(x[3u].w, y.w, fma(x[3u].z, y.z, sum[3u * TN + 2u]));
}
{
      let y = b[b_start + 3u * quads + q];
        sum[0u * TN + 3u] = fma(x[0u].y, y.y, fma(x[0u].x, y.x, sum[0u * TN + 3u]));
        sum[0u * TN + 3u] = fma(x[0u].w, y.w, fma(x[0u].z, y.z, sum[0u * TN + 3u]));
        sum[1u * TN + 3u] = fma(x[1u].y, y.y, fma(x[1u].x, y.x, sum[1u * TN + 3u]));
        sum[1u * TN + 3u] = fma(x[1u].w, y.w, fma(x[1u].z, y.z, sum[1u * TN + 3u]));
        sum[2u * TN + 3u] = fma(x[2u].y, y.y, fma(x[2u].x, y.x, sum[2u * TN + 3u]));
        sum[2u * TN + 3u] = fma(x[2u].w, y.w, fma(x[2u].z, y.z, sum[2u * TN + 3u]));
        sum[3u * TN + 3u] = fma(x[3u].y, y.y, fma(x[3u].x, y.x, sum[3u * TN + 3u]));
        sum[3u * TN + 3u] = fma(x[3u].w, y.w, fma(x[3u].z, y.z, sum[3u * TN + 3u]));
}
  }

{
    if (column + 0u < params.n) {
      var shift = 0.0;
      if (params.has_bias == 1u) {
        shift = bias[column + 0u];
      }
{
        if (row + 0u < params.m) {
          let at = (batch * params.m + row + 0u) * params.n + column + 0u;
          c[at] = sum[0u * TN + 0u] + shift;
        }
}
{
        if (row + 1u < params.m) {
          let at = (batch * params.m + row + 1u) * params.n + column + 0u;
          c[at] = sum[1u * TN + 0u] + shift;
        }
}
{
        if (row + 2u < params.m) {
          let at = (batch * params.m + row + 2u) * params.n + column + 0u;
          c[at] = sum[2u * TN + 0u] + shift;
        }
}
{
        if (row + 3u < params.m) {
          let at = (batch * params.m + row + 3u) * params.n + column + 0u;
          c[at] = sum[3u * TN + 0u] + shift;
        }
}
    }
}
{
    if (column + 1u < params.n) {
      var shift = 0.0;
      if (params.has_bias == 1u) {
        shift = bias[column + 1u];
      }
{
        if (row + 0u < params.m) {
          let at = (batch * params.m + row + 0u) * params.n + column + 1u;
          c[at] = sum[0u * TN + 1u] + shift;
        }
}
{
        if (row + 1u < params.m) {
          let at = (batch * params.m + row + 1u) * params.n + column + 1u;
          c[at] = sum[1u * TN + 1u] + shift;
        }
}
{
        if (row + 2u < params.m) {
          let at = (batch * params.m + row + 2u) * params.n + column + 1u;
          c[at] = sum[2u * TN + 1u] + shift;
        }
}
{
        if (row + 3u < params.m) {
          let at = (batch * params.m + row + 3u) * params.n + column + 1u;
          c[at] = sum[3u * TN + 1u] + shift;
        }
}
    }
}
{
    if (column + 2u < params.n) {
      var shift = 0.0;
      if (params.has_bias == 1u) {
        shift = bias[column + 2u];
      }
{
        if (row + 0u < params.m) {
          let at = (batch * params.m + row + 0u) * params.n + column + 2u;
          c[at] = sum[0u * TN + 2u] + shift;
        }
}
{
        if (row + 1u < params.m) {
          let at = (batch * params.m + row + 1u) * params.n + column + 2u;
          c[at] = sum[1u * TN + 2u] + shift;
        }
}
{
        if (row + 2u < params.m) {
          let at = (batch * params.m + row + 2u) * params.n + column + 2u;
          c[at] = sum[2u * TN + 2u] + shift;
        }
}
{
        if (row + 3u < params.m) {
          let at = (batch * params.m + row + 3u) * params.n + column + 2u;
          c[at] = sum[3u * TN + 2u] + shift;
        }
}
    }
}
{
    if (column + 3u < params.n) {
      var shift = 0.0;
      if (params.has_bias == 1u) {
        shift = bias[column + 3u];
      }
{
        if (row + 0u < params.m) {
          let at = (batch * params.m + row + 0u) * params.n + column + 3u;
          c[at] = sum[0u * TN + 3u] + shift;
        }
}
{
        if (row + 1u < params.m) {
          let at = (batch * params.m + row + 1u) * params.n + column + 3u;
          c[at] = sum[1u * TN + 3u] + shift;
        }
}
{
        if (row + 2u < params.m) {
          let at = (batch * params.m + row + 2u) * params.n + column + 3u;
          c[at] = sum[2u * TN + 3u] + shift;
        }
}
{
        if (row + 3u < params.m) {
          let at = (batch * params.m + row + 3u) * params.n + column + 3u;
          c[at] = sum[3u * TN + 3u] + shift;
        }
}
    }
}
}
