// Matrix product with tiles in workgroup memory, for GPUs.
//
//   c[s, i, j] = sum_k a[s, i, k] * b[s, j, k] + bias[j]
//
// Shapes: a: vec4<f32>[batches or 1, m, quads] and b: vec4<f32>[batches or 1, n, quads], both
//   contiguous along k, k = 4 * quads (padded with zeros); c: f32[batches, m, n]; bias: f32[n],
//   read when has_bias is 1. All row-major.
// Bindings: a, b, bias, c. Without a bias any buffer may stand for it.
// Dispatch: gridFor(tiles, 1), folded from x into y; tiles = batches * row tiles * column tiles.
//   A workgroup of TX * TY invocations does 4*RM*TY rows and 4*RN*TX columns: 64 x 64 with a 4 x 4
//   register tile, 128 x 128 with 8 x 8 (RM = RN = 2), 256 x 16 for few columns.
// Accumulates in f32, in the order of k, from quad_begin to quad_end; adds to c
//   when ACCUMULATE is 1.
//
// A step takes 4*KQ values of k. Each invocation fetches 4 x 4 blocks (four rows, one vec4 along k
// each), transposes them in registers and stores four vec4 along the rows, so that the inner loop
// reads whole vec4 from workgroup memory and no two invocations ever write one vec4.
// The rows of a register tile lie 4*TY apart in groups of 4, which spreads the reads of one
// instruction over the banks; the tile's stride is one vec4 longer than its rows for the same
// reason.

const TX: u32 = 16u; // @spec invocations along the columns
const TY: u32 = 16u; // @spec invocations along the rows
const RM: u32 = 1u; // @spec groups of 4 rows per invocation
const RN: u32 = 1u; // @spec groups of 4 columns per invocation
const KQ: u32 = 4u; // @spec vec4 elements along k per step
const ACCUMULATE: u32 = 0u; // @spec

const THREADS: u32 = TX * TY;
const ROW_GROUPS: u32 = TY * RM;
const COLUMN_GROUPS: u32 = TX * RN;
const A_STRIDE: u32 = ROW_GROUPS + 1u;
const B_STRIDE: u32 = COLUMN_GROUPS + 1u;

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

var<workgroup> a_tile: array<vec4<f32>, 4u * KQ * A_STRIDE>;
var<workgroup> b_tile: array<vec4<f32>, 4u * KQ * B_STRIDE>;

fn a_at(batch: u32, row: u32, quad: u32) -> vec4<f32> {
  if (row < params.m && quad < params.quad_end) {
    return a[batch * params.a_batch + row * params.quads + quad];
  }
  return vec4<f32>();
}

fn b_at(batch: u32, column: u32, quad: u32) -> vec4<f32> {
  if (column < params.n && quad < params.quad_end) {
    return b[batch * params.b_batch + column * params.quads + quad];
  }
  return vec4<f32>();
}

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  // A folded grid has workgroups beyond the last tile: they compute the last one again and store
  // nothing, so that every invocation reaches every barrier.
  let index = wid.y * grid.x + wid.x;
  let tile = min(index, params.tiles - 1u);
  let column_tile = tile % params.column_tiles;
  let row_tile = tile / params.column_tiles % params.row_tiles;
  let batch = tile / (params.column_tiles * params.row_tiles);
  let first_row = row_tile * ROW_GROUPS * 4u;
  let first_column = column_tile * COLUMN_GROUPS * 4u;
  let tx = lane % TX;
  let ty = lane / TX;

  var sum: array<vec4<f32>, 4u * RM * RN>;
  for (var step = params.quad_begin; step < params.quad_end; step += KQ) {
    for (var block = lane; block < ROW_GROUPS * KQ; block += THREADS) {
      let q = block % KQ;
      let group = block / KQ;
      let row = first_row + group * 4u;
      let v0 = a_at(batch, row, step + q);
      let v1 = a_at(batch, row + 1u, step + q);
      let v2 = a_at(batch, row + 2u, step + q);
      let v3 = a_at(batch, row + 3u, step + q);
      for (var e = 0u; e < 4u; e++) { // @unroll
        a_tile[(q * 4u + e) * A_STRIDE + group] = vec4<f32>(v0[e], v1[e], v2[e], v3[e]);
      }
    }
    for (var block = lane; block < COLUMN_GROUPS * KQ; block += THREADS) {
      let q = block % KQ;
      let group = block / KQ;
      let column = first_column + group * 4u;
      let v0 = b_at(batch, column, step + q);
      let v1 = b_at(batch, column + 1u, step + q);
      let v2 = b_at(batch, column + 2u, step + q);
      let v3 = b_at(batch, column + 3u, step + q);
      for (var e = 0u; e < 4u; e++) { // @unroll
        b_tile[(q * 4u + e) * B_STRIDE + group] = vec4<f32>(v0[e], v1[e], v2[e], v3[e]);
      }
    }
    workgroupBarrier();
    for (var k = 0u; k < KQ * 4u; k += 4u) {
      for (var e = 0u; e < 4u; e++) { // @unroll
        var y: array<vec4<f32>, RN>;
        for (var j = 0u; j < RN; j++) { // @unroll
          y[j] = b_tile[(k + e) * B_STRIDE + j * TX + tx];
        }
        for (var i = 0u; i < RM; i++) { // @unroll
          let x = a_tile[(k + e) * A_STRIDE + i * TY + ty];
          for (var j = 0u; j < RN; j++) { // @unroll
            sum[(i * 4u + 0u) * RN + j] = fma(vec4<f32>(x.x), y[j], sum[(i * 4u + 0u) * RN + j]);
            sum[(i * 4u + 1u) * RN + j] = fma(vec4<f32>(x.y), y[j], sum[(i * 4u + 1u) * RN + j]);
            sum[(i * 4u + 2u) * RN + j] = fma(vec4<f32>(x.z), y[j], sum[(i * 4u + 2u) * RN + j]);
            sum[(i * 4u + 3u) * RN + j] = fma(vec4<f32>(x.w), y[j], sum[(i * 4u + 3u) * RN + j]);
          }
        }
      }
    }
    // The next step overwrites what this one reads.
    workgroupBarrier();
  }

  for (var j = 0u; j < RN; j++) { // @unroll
    let column = first_column + (j * TX + tx) * 4u;
    for (var e = 0u; e < 4u; e++) { // @unroll
      if (index < params.tiles && column + e < params.n) {
        var shift = 0.0;
        if (params.has_bias == 1u) {
          shift = bias[column + e];
        }
        for (var i = 0u; i < RM; i++) { // @unroll
          for (var r = 0u; r < 4u; r++) { // @unroll
            let row = first_row + (i * TY + ty) * 4u + r;
            if (row < params.m) {
              let at = (batch * params.m + row) * params.n + column + e;
              if (ACCUMULATE == 1u) { // @static
                shift = c[at];
              }
              c[at] = sum[(i * 4u + r) * RN + j][e] + shift;
            }
          }
        }
      }
    }
  }
}
