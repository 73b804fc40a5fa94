// Squared distances between a block of queries and a block of bank rows, with tiles in workgroup
// memory, for GPUs.
//
// What it computes, its shapes and bindings are those of k_nearest_register.wgsl.
// Dispatch: gridFor(tiles, 1), folded from x into y; tiles = ceil(groups / 4) * row tiles. A
//   workgroup of 16 x 16 invocations does 64 rows and 64 columns (4 groups), 4 x 4 each.
// Accumulates in f32, in the order of k.
//
// See ../matmul/matmul_tiled.wgsl for how tiles are fetched.

const SIDE: u32 = 16u;
const THREADS: u32 = SIDE * SIDE;
const BLOCK: u32 = SIDE * 4u;
const KQ: u32 = 4u;
const STRIDE: u32 = SIDE + 1u;
const HIGHEST: f32 = 3.4028234e38;

struct Params {
  rows: u32,
  row_begin: u32,
  columns: u32,
  bank_begin: u32,
  quads: u32, // vec4 elements along k
  groups: u32,
  row_tiles: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> y: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> distances: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> minima: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

var<workgroup> x_tile: array<vec4<f32>, 4u * KQ * STRIDE>;
var<workgroup> y_tile: array<vec4<f32>, 4u * KQ * STRIDE>;
var<workgroup> least: array<f32, BLOCK * SIDE>;

fn x_at(row: u32, quad: u32) -> vec4<f32> {
  if (row < params.rows && quad < params.quads) {
    return x[(params.row_begin + row) * params.quads + quad];
  }
  return vec4<f32>();
}

fn y_at(column: u32, quad: u32) -> vec4<f32> {
  if (column < params.columns && quad < params.quads) {
    return y[(params.bank_begin + column) * params.quads + quad];
  }
  return vec4<f32>();
}

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  // A folded grid has workgroups beyond the last tile: their rows and columns are outside, and
  // every invocation reaches every barrier.
  let tile = wid.y * grid.x + wid.x;
  let first_row = tile % params.row_tiles * BLOCK;
  let first_column = tile / params.row_tiles * BLOCK;
  let tx = lane % SIDE;
  let ty = lane / SIDE;

  var sum: array<vec4<f32>, 4>;
  for (var step = 0u; step < params.quads; step += KQ) {
    for (var block = lane; block < SIDE * KQ; block += THREADS) {
      let q = block % KQ;
      let group = block / KQ;
      let row = first_row + group * 4u;
      let column = first_column + group * 4u;
      let a0 = x_at(row, step + q);
      let a1 = x_at(row + 1u, step + q);
      let a2 = x_at(row + 2u, step + q);
      let a3 = x_at(row + 3u, step + q);
      let b0 = y_at(column, step + q);
      let b1 = y_at(column + 1u, step + q);
      let b2 = y_at(column + 2u, step + q);
      let b3 = y_at(column + 3u, step + q);
      for (var e = 0u; e < 4u; e++) { // @unroll
        x_tile[(q * 4u + e) * STRIDE + group] = vec4<f32>(a0[e], a1[e], a2[e], a3[e]);
        y_tile[(q * 4u + e) * STRIDE + group] = vec4<f32>(b0[e], b1[e], b2[e], b3[e]);
      }
    }
    workgroupBarrier();
    for (var k = 0u; k < KQ * 4u; k += 4u) {
      for (var e = 0u; e < 4u; e++) { // @unroll
        let a = x_tile[(k + e) * STRIDE + ty];
        let b = y_tile[(k + e) * STRIDE + tx];
        for (var r = 0u; r < 4u; r++) { // @unroll
          let d = vec4<f32>(a[r]) - b;
          sum[r] = fma(d, d, sum[r]);
        }
      }
    }
    // The next step overwrites what this one reads.
    workgroupBarrier();
  }

  let column = first_column + tx * 4u;
  let inside = vec4<u32>(column, column + 1u, column + 2u, column + 3u) <
    vec4<u32>(params.columns);
  for (var r = 0u; r < 4u; r++) { // @unroll
    let row = first_row + ty * 4u + r;
    let four = select(vec4<f32>(HIGHEST), sum[r], inside);
    if (row < params.rows && column / 16u < params.groups) {
      distances[(column / 16u * params.rows + row) * 4u + tx % 4u] = four;
    }
    least[(ty * 4u + r) * SIDE + tx] = min(min(four.x, four.y), min(four.z, four.w));
  }
  workgroupBarrier();
  // Each invocation takes one row and one group of 16 columns, which 4 invocations have shared.
  let row = first_row + lane / 4u;
  let group = first_column / 16u + lane % 4u;
  if (row < params.rows && group < params.groups) {
    let at = lane / 4u * SIDE + lane % 4u * 4u;
    minima[group * params.rows + row] =
      min(min(least[at], least[at + 1u]), min(least[at + 2u], least[at + 3u]));
  }
}
