// Matrix product of operands in panels, with a register tile per invocation and no workgroup memory.
//
//   c[s, i, j] = sum_k a[s, i, k] * b[s, j, k] + bias[j]
//
// Shapes: a: f32[batches or 1, row tiles, k, TM] and b: f32[batches or 1, column tiles, k, TN], as
//   ../_panel_pack.wgsl writes them, both read in vec4; c: f32[batches, m, n], n a multiple of 4;
//   bias: f32[n], read when has_bias is 1. All row-major.
// Bindings: a, b, bias, c. Without a bias any buffer may stand for it.
// Dispatch: gridFor(tiles, 8), folded from x into y; tiles = batches * row tiles * column tiles.
//   Neighbouring invocations own neighbouring tiles of a row.
// Accumulates in f32, in the order of k, from k_begin to k_end; adds to c when ACCUMULATE is 1. The
//   result is that of matmul_register.wgsl to the bit.
//
// Made for adapters that compute on the CPU, like matmul_register.wgsl. There a vec4 costs as much
// as 105 fma, whatever fetches it (llvmpipe: a loop over the 8 lanes with a check for each
// component), so only a larger tile helps. It must fit in the caches: one step of k at a time keeps
// the code of 576 fma within 24 KiB, the sums take 18 KiB, and each panel is one stream of memory.
// A step of four k as in matmul_register.wgsl would be four times the code, and 32 x 32 sums are
// slower than 16 x 16.

const TM: u32 = 24u; // @spec rows of a tile, a multiple of 4
const TN: u32 = 24u; // @spec columns of a tile, a multiple of 4
const ROW_QUADS: u32 = 6u; // @spec TM / 4
const COLUMN_QUADS: u32 = 6u; // @spec TN / 4
const FOUR: u32 = 4u;
const ACCUMULATE: u32 = 0u; // @spec

struct Params {
  m: u32,
  n: u32,
  k: u32, // length of a panel
  k_begin: u32,
  k_end: u32,
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
@group(0) @binding(3) var<storage, read_write> c: array<vec4<f32>>;
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
  let column_tile = tile % params.column_tiles;
  let row_tile = tile / params.column_tiles % params.row_tiles;
  let batch = tile / (params.column_tiles * params.row_tiles);
  let end = params.k_end;

  var a_at = batch * params.a_batch + (row_tile * params.k + params.k_begin) * ROW_QUADS;
  var b_at = batch * params.b_batch + (column_tile * params.k + params.k_begin) * COLUMN_QUADS;
  var sum: array<f32, TM * TN>;
  for (var k = params.k_begin; k < end; k++) {
    var y: array<vec4<f32>, COLUMN_QUADS>;
    for (var j = 0u; j < COLUMN_QUADS; j++) { // @unroll
      y[j] = b[b_at + j];
    }
    for (var i = 0u; i < ROW_QUADS; i++) { // @unroll
      let x = a[a_at + i];
      for (var l = 0u; l < FOUR; l++) { // @unroll
        for (var j = 0u; j < TN; j++) { // @unroll
          sum[(i * 4u + l) * TN + j] = fma(x[l], y[j / 4u][j % 4u], sum[(i * 4u + l) * TN + j]);
        }
      }
    }
    a_at += ROW_QUADS;
    b_at += COLUMN_QUADS;
  }

  let row = row_tile * TM;
  let column = column_tile * TN;
  for (var j = 0u; j < COLUMN_QUADS; j++) { // @unroll
    let left = column + 4u * j;
    if (left < params.n) {
      var shift = vec4<f32>();
      if (params.has_bias == 1u) {
        shift = vec4(bias[left], bias[left + 1u], bias[left + 2u], bias[left + 3u]);
      }
      for (var i = 0u; i < TM; i++) { // @unroll
        if (row + i < params.m) {
          let at = ((batch * params.m + row + i) * params.n + left) / 4u;
          if (ACCUMULATE == 1u) { // @static
            shift = c[at];
          }
          let first = i * TN + 4u * j;
          c[at] = vec4(sum[first], sum[first + 1u], sum[first + 2u], sum[first + 3u]) + shift;
        }
      }
    }
  }
}
