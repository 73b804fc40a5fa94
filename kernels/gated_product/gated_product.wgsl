// A linear head whose weights are masked for each row by the gates of one class.
//
//   z[r, k] = bias[k] + sum over c of keep * weight[k, c] * min(x[r, c], clip)
//   keep    = gate >= 0 and weight[k, c] * gate > bounds[i],  gate = gates[i, c],  i = index[r]
//
// and with GATED 0, keep everywhere. The masks are never written: for K classes they would be
// K x K x C.
//
// Shapes: x: vec4<f32>[rows, quads], weight: vec4<f32>[classes, quads], gates: vec4<f32>[any, quads],
//   all contiguous along c and padded with zeros; bounds: f32[any], index: u32[rows],
//   bias: f32[classes], z: f32[rows, classes]. All row-major.
// Bindings: x, weight, gates, bounds, index, bias, z. What a call lacks, any buffer stands for.
// Dispatch: gridFor(tiles, WORKGROUP), folded from x into y; tiles = row tiles * column tiles, one per
//   invocation. Neighbouring invocations own neighbouring columns of the same rows.
// Accumulates in f32, in the order of c; the tile's size does not change a bit. weight * gate is one
// rounded product, so a bound that is such a product separates what lies on it from what lies above.
// Rows and columns beyond the matrix load what robust access gives and are not stored.
// Source: Ahn, Park and Kim, "LINe: out-of-distribution detection by leveraging important neurons",
// 2023.

override WORKGROUP: u32 = 8u; // invocations per workgroup

const TM: u32 = 4u; // @spec rows of a tile
const TN: u32 = 8u; // @spec columns of a tile
const GATED: u32 = 1u; // @spec

struct Params {
  rows: u32,
  classes: u32,
  quads: u32, // vec4 elements along c
  column_tiles: u32,
  tiles: u32,
  has_bias: u32,
  clip: f32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> weight: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> gates: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> bounds: array<f32>;
@group(0) @binding(4) var<storage, read> index: array<u32>;
@group(0) @binding(5) var<storage, read> bias: array<f32>;
@group(0) @binding(6) var<storage, read_write> z: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let tile = (wid.y * grid.x + wid.x) * WORKGROUP + lane;
  if (tile >= params.tiles) {
    return;
  }
  let column = tile % params.column_tiles * TN;
  let row = tile / params.column_tiles * TM;
  let quads = params.quads;

  var gate_start: array<u32, TM>;
  var bound: array<f32, TM>;
  if (GATED == 1u) { // @static
    for (var i = 0u; i < TM; i++) { // @unroll
      gate_start[i] = index[row + i] * quads;
      bound[i] = bounds[index[row + i]];
    }
  }
  var sum: array<f32, TM * TN>;
  for (var q = 0u; q < quads; q++) {
    var v: array<vec4<f32>, TM>;
    var gate: array<vec4<f32>, TM>;
    for (var i = 0u; i < TM; i++) { // @unroll
      v[i] = min(x[(row + i) * quads + q], vec4<f32>(params.clip));
      if (GATED == 1u) { // @static
        gate[i] = gates[gate_start[i] + q];
        v[i] = select(vec4<f32>(0.0), v[i], gate[i] >= vec4<f32>(0.0));
      }
    }
    for (var j = 0u; j < TN; j++) { // @unroll
      let w = weight[(column + j) * quads + q];
      for (var i = 0u; i < TM; i++) { // @unroll
        var kept = w;
        if (GATED == 1u) { // @static
          kept = select(vec4<f32>(0.0), w, w * gate[i] > vec4<f32>(bound[i]));
        }
        sum[i * TN + j] = fma(v[i].y, kept.y, fma(v[i].x, kept.x, sum[i * TN + j]));
        sum[i * TN + j] = fma(v[i].w, kept.w, fma(v[i].z, kept.z, sum[i * TN + j]));
      }
    }
  }

  for (var j = 0u; j < TN; j++) { // @unroll
    if (column + j < params.classes) {
      var shift = 0.0;
      if (params.has_bias == 1u) {
        shift = bias[column + j];
      }
      for (var i = 0u; i < TM; i++) { // @unroll
        if (row + i < params.rows) {
          z[(row + i) * params.classes + column + j] = sum[i * TN + j] + shift;
        }
      }
    }
  }
}
